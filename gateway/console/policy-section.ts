/** The policy: written, looked at, tried on recorded requests, put in force. */
import { byId, element, fillTable } from '../../schema/page/elements.ts';
import { percent } from '../../schema/page/numbers.ts';
import type { Table } from '../../schema/page/table.ts';
import { type OperatorApi, type PolicyText, Refused } from './api.ts';
import { changedTable, changesTable, dryRunTable } from './policy-tables.ts';
import type { Section } from './section.ts';

const NOTHING: Table = { header: [], rows: [] };

export interface PolicySection extends Section {
  /** Puts a document into the editor, to be changed or put in force again. */
  load(document: PolicyText, name: string): void;
}

/** @param changed told once another policy is in force */
export function policySection(api: OperatorApi, changed: () => Promise<void>): PolicySection {
  const editor = byId('policy') as HTMLTextAreaElement;
  const buttons = ['validate', 'dry-run', 'activate', 'reset'].map((id) => byId(id) as HTMLButtonElement);
  /** In force, as it was read last; what is activated takes the place of this one and of no other. */
  let inForce: PolicyText | undefined;

  const edited = () => inForce !== undefined && editor.value !== inForce.text;
  const note = () => {
    byId('policy-note').textContent =
      inForce === undefined
        ? ''
        : `Version ${inForce.etag.replaceAll('"', '')} is in force${edited() ? '; what stands below differs from it' : ''}.`;
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

  /** One at a time: what is told is of the document that stands there. */
  const run = async (work: () => Promise<void>) => {
    for (const button of buttons) button.disabled = true;
    editor.readOnly = true;
    clear();
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say(error.message, error.faults);
    } finally {
      for (const button of buttons) button.disabled = false;
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
    say(`It can be put in force; ${changes}.`, found.warnings);
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
    if (inForce === undefined) throw new Refused(0, 'The policy in force has not been read.');
    await api.activate(editor.value, inForce.etag);
    inForce = undefined;
    await changed();
    say('It is in force; every part of the gateway follows within 5 s.');
  });
  on('reset', async () => {
    inForce = await api.policy();
    editor.value = inForce.text;
  });
  editor.addEventListener('input', note);

  return {
    async refresh() {
      const before = inForce?.text;
      const read = await api.policy();
      // What somebody is writing stays; it is to take the place of the version that it was begun from.
      if (before !== undefined && editor.value !== before) return;
      inForce = read;
      editor.value = read.text;
      note();
    },
    redraw() {},
    load({ text }, name) {
      clear();
      editor.value = text;
      note();
      say(`${name} stands in the editor.`);
    },
  };
}
