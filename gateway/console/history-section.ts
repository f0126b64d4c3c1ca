/** Versions of the policy, to look at and to go back to, and the trail of changes. */
import { byId, element, fillTable } from '../../schema/page/elements.ts';
import { type OperatorApi, type PolicyVersion, Refused } from './api.ts';
import type { PolicySection } from './policy-section.ts';
import { auditTable, versionsTable } from './policy-tables.ts';
import type { Section } from './section.ts';

export function historySection(
  api: OperatorApi,
  policy: PolicySection,
  { changed, failed }: { readonly changed: () => Promise<void>; readonly failed: (error: Refused) => void },
): Section {
  const action = (text: string, work: () => Promise<void>) => {
    const button = element('button', text);
    button.type = 'button';
    button.addEventListener('click', () => {
      button.disabled = true;
      void work()
        .catch((error: unknown) => {
          if (!(error instanceof Refused)) throw error;
          failed(error);
        })
        .finally(() => {
          button.disabled = false;
        });
    });
    return button;
  };
  const actionsOf = ({ version }: PolicyVersion, place: number): HTMLButtonElement[] => {
    const show = action('show', async () => {
      policy.load(await api.policyVersion(version), `Version ${version}`);
      byId('h-policy').scrollIntoView();
    });
    if (place === 0) return [show];
    const back = action('go back to it', async () => {
      const { etag } = await api.policy();
      await api.rollBack(version, etag);
      await changed();
    });
    return [show, back];
  };
  return {
    async refresh() {
      const [versions, entries] = await Promise.all([api.versions(), api.audit()]);
      const rows = fillTable('versions', versionsTable(versions));
      for (const [place, version] of versions.entries()) {
        const cell = element('td');
        cell.append(...actionsOf(version, place).flatMap((button) => [button, ' ']));
        rows[place]?.append(cell);
      }
      fillTable('audit', auditTable(entries));
    },
    redraw() {},
  };
}
