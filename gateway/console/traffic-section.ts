/** What became of requests lately. */
import type { ChartIn } from '../../schema/page/chart.ts';
import { byId, fillTable, offer } from '../../schema/page/elements.ts';
import type { Decision, OperatorApi } from './api.ts';
import { palette, type Section } from './section.ts';
import { trafficOf, trafficTable } from './traffic.ts';
import { trafficChart } from './traffic-chart.ts';

const DECISIONS = 600;

export function trafficSection(api: OperatorApi, chartIn: ChartIn): Section {
  const chart = chartIn(byId('traffic-chart'));
  const model = byId('traffic-model') as HTMLSelectElement;
  let decisions: readonly Decision[] = [];

  const redraw = () => {
    const traffic = trafficOf(decisions);
    chart.draw(trafficChart(traffic.get(offer(model, [...traffic.keys()])) ?? [], palette()));
    chart.resize();
  };
  model.addEventListener('change', redraw);

  return {
    async refresh() {
      decisions = await api.decisions(DECISIONS);
      fillTable('traffic', trafficTable(decisions));
      byId('traffic-note').textContent =
        decisions.length === 0
          ? 'No decision has been kept yet: a sample is, some seconds after the requests.'
          : `By the newest ${decisions.length} of the sampled decisions; counts are of the requests that they stand for.`;
      redraw();
    },
    redraw,
  };
}
