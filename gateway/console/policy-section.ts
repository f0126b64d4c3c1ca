/** The policy: written, looked at, tried on recorded requests, put in force. */
import { byId, element, fillTable, tell } from '../../schema/page/elements.ts';
import { percent } from '../../schema/page/numbers.ts';
import type { Table } from '../../schema/page/table.ts';
import { type OperatorApi, type PolicyText, Refused } from './api.ts';
import { changedTable, changesTable, dryRunTable } from './policy-tables.ts';
import { hold, type Section } from './section.ts';

const NOTHING: Table = { header: [], rows: [] };

export interface PolicySection extends Section {
  /** Puts a document into the editor, to be changed or put in force again. @returns whether it stands there */
  load(document: PolicyText, name: string): boolean;
}

/** @param changed told once another policy is in force, or may be */
export function policySection(api: OperatorApi, changed: () => Promise<void>): PolicySection {
  const editor = byId('policy') as HTMLTextAreaElement;
  const buttons = ['validate', 'dry-run', 'activate', 'reset'].map((id) => byId(id) as HTMLButtonElement);
  /** As it was read last. */
  let inForce: PolicyText | undefined;
  /** What the editor's text was begun from, or held against since; it takes the place of this one and of no other. */
  let begun: PolicyText | undefined;
  /** Put there by somebody's wish, and not written by hand. */
  let loaded = '';

  const edited = () => begun !== undefined && editor.value !== begun.text;
  const note = () => {
    if (inForce === undefined || begun === undefined) return;
    const differs = edited() ? '; what stands below differs from it' : '';
    const passed = `; what stands below was begun from version ${versionOf(begun)}, and validate tells what it would change by now`;
    tell(
      'policy-note',
      `Version ${versionOf(inForce)} is in force${inForce.etag === begun.etag ? differs : passed}.`,
    );
  };
  const say = (text: string, findings: readonly { path: string; message: string }[] = []) => {
    byId('policy-status').textContent = text;
    byId('policy-findings').replaceChildren(
      ...findings.map(({ path, message }) => element('li', path === '' ? message : `${path}: ${message}`)),
    );
  };
  const clear = () => {
    say('');
    fillTable('changes', NOTHING);
    fillTable('dry-run-result', NOTHING);
    byId('changed-details').hidden = true;
  };
  /** Written by hand, and in force nowhere. */
  const unsaved = () => edited() && editor.value !== loaded;
  const mayBePutAway = () => !unsaved() || confirm('What you have written is in force nowhere. Put it away?');
  const write = (text: string) => {
    loaded = text;
    if (editor.value !== text) editor.value = text;
    note();
  };

  /** One at a time: what is told is of the document that stands there. */
  const run = async (work: () => Promise<void>) => {
    if (!hold(buttons, true)) return;
    editor.readOnly = true;
    clear();
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say(error.message, error.faults);
    } finally {
      hold(buttons, false);
      editor.readOnly = false;
      note();
    }
  };
  const on = (id: string, work: () => Promise<void>) =>
    byId(id).addEventListener('click', () => void run(work));

  on('validate', async () => {
    const found = await api.validate(editor.value);
    fillTable('changes', changesTable(found));
    const changes = found.changes.length === 0 ? 'it changes nothing' : 'what it changes is below';
    say(`It can be put in force in the place of version ${found.against}; ${changes}.`, found.warnings);
    if (begun !== undefined) begun = { ...begun, etag: `"${found.against}"` };
    if (begun?.etag !== inForce?.etag) await changed();
  });
  on('dry-run', async () => {
    const result = await api.dryRun(editor.value);
    fillTable('dry-run-result', dryRunTable(result));
    fillTable('changed', changedTable(result));
    byId('changed-details').hidden = result.changed.length === 0;
    say(
      result.decisions === 0
        ? 'No decision has been recorded to try it on.'
        : `${result.decisions} recorded decisions, which stand for ${Math.round(result.requests)} requests: ${percent(result.changedShare)} of these change.`,
      result.warnings,
    );
  });
  on('activate', async () => {
    if (begun === undefined) throw new Refused(0, 'The policy in force has not been read.');
    try {
      await api.activate(editor.value, begun.etag);
    } catch (error) {
      // Whoever was first, or an answer that was lost: the note is to say what is in force.
      await changed();
      throw error;
    }
    begun = { ...begun, text: editor.value };
    await changed();
    say('It is in force; every part of the gateway follows within 5 s.');
  });
  on('reset', async () => {
    const read = await api.policy();
    if (!mayBePutAway()) return;
    inForce = begun = read;
    write(read.text);
  });
  editor.addEventListener('input', note);
  addEventListener('beforeunload', (event) => {
    if (unsaved()) event.preventDefault();
  });

  return {
    async refresh() {
      inForce = await api.policy();
      // What somebody is writing stays.
      if (!edited()) {
        begun = inForce;
        write(inForce.text);
      }
      note();
    },
    redraw() {},
    load({ text }, name) {
      if (!mayBePutAway()) return false;
      clear();
      write(text);
      say(`${name} stands in the editor.`);
      return true;
    },
  };
}

function versionOf({ etag }: PolicyText): string {
  return etag.replaceAll('"', '');
}
