/** The fleet. */
import { fillTable, tell } from '../../schema/page/elements.ts';
import type { OperatorApi } from './api.ts';
import { byNeed, fleetTable } from './fleet-table.ts';
import type { Section } from './section.ts';

export function fleetSection(api: OperatorApi): Section {
  return {
    async refresh() {
      const nodes = byNeed(await api.nodes());
      const rows = fillTable('fleet', fleetTable(nodes));
      for (const [place, row] of rows.entries()) row.className = nodes[place]?.usable ? 'well' : 'ill';
      const serving = nodes.filter(({ usable }) => usable).length;
      tell(
        'fleet-note',
        nodes.length === 0
          ? 'No node yet: POST /v1/nodes registers one.'
          : `${serving} of ${nodes.length} in service. Levels are those in memory, of all.`,
      );
    },
    redraw() {},
  };
}
