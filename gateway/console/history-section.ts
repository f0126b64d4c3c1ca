/** Versions of the policy, to look at and to go back to, and the trail of changes. */
import { byId, element, fillTable, tell } from '../../schema/page/elements.ts';
import { type AuditEntry, type OperatorApi, type PolicyVersion, Refused, SHOWN } from './api.ts';
import type { PolicySection } from './policy-section.ts';
import { auditTable, versionsTable } from './policy-tables.ts';
import { hold, type Section } from './section.ts';

/** @param changed told once another policy is in force */
export function historySection(
  api: OperatorApi,
  policy: PolicySection,
  changed: () => Promise<void>,
): Section {
  /** As the table shows them; what somebody goes back from is the first of these and no other. */
  let versions: readonly PolicyVersion[] = [];
  /** Newest first; each may hold a whole policy, so that none is read twice. */
  let entries: readonly AuditEntry[] = [];
  /** By version: a button that somebody is about to press stays the same one. */
  const cells = new Map<number, HTMLTableCellElement>();

  const action = (text: string, name: string, work: () => Promise<string>) => {
    const button = element('button', text);
    button.type = 'button';
    button.setAttribute('aria-label', name);
    const run = async () => {
      if (!hold([button], true)) return;
      tell('history-status', '');
      try {
        tell('history-status', await work());
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        tell('history-status', error.message);
      } finally {
        hold([button], false);
      }
    };
    button.addEventListener('click', () => void run());
    return button;
  };
  const show = (version: number) =>
    action('show', `show version ${version}`, async () => {
      if (policy.load(await api.policyVersion(version), `Version ${version}`))
        byId('h-policy').scrollIntoView();
      return '';
    });
  const goBack = (version: number) =>
    action('go back to it', `go back to version ${version}`, async () => {
      const [inForce] = versions;
      if (inForce === undefined || !confirm(`Put version ${version} in force again, at once?`)) return '';
      await api.rollBack(version, `"${inForce.version}"`);
      await changed();
      return `Version ${version} is in force again.`;
    });
  const cellOf = (version: number): HTMLTableCellElement => {
    const known = cells.get(version);
    if (known !== undefined) return known;
    const cell = element('td');
    cell.append(show(version), ' ', goBack(version));
    cells.set(version, cell);
    return cell;
  };

  return {
    async refresh() {
      const [read, newer] = await Promise.all([api.versions(), api.audit(entries[0]?.id)]);
      versions = read;
      entries = [...newer, ...entries].slice(0, SHOWN);
      const { header, rows } = versionsTable(versions);
      fillTable('versions', { header: [...header, 'actions'], rows }, (place) => {
        const cell = cellOf(versions[place]?.version ?? 0);
        const back = cell.lastElementChild as HTMLElement;
        back.hidden = place === 0;
        return cell;
      });
      fillTable('audit', auditTable(entries));
      const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
      tell(
        'history-note',
        `The newest ${SHOWN} of each; GET /v1/policy/versions and /v1/audit have the others. Times are those of ${timeZone}.`,
      );
    },
    redraw() {},
  };
}
