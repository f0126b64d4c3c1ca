/** What became of requests lately. */
import type { ChartIn } from '../../schema/page/chart.ts';
import { byId, fillTable, named, offer, tell } from '../../schema/page/elements.ts';
import type { Decision, OperatorApi } from './api.ts';
import { palette, type Section } from './section.ts';
import { spanText, trafficOf, trafficTable } from './traffic.ts';
import { kindsOf, trafficChart } from './traffic-chart.ts';

const DECISIONS = 600;

export function trafficSection(api: OperatorApi, chartIn: ChartIn): Section {
  const chart = chartIn(byId('traffic-chart'));
  const model = byId('traffic-model') as HTMLSelectElement;
  /** Newest first. */
  let decisions: readonly Decision[] = [];

  const redraw = () => {
    const traffic = trafficOf(decisions);
    const slots = traffic.get(offer(model, [...traffic.keys()])) ?? [];
    const colours = palette();
    byId('traffic-views').hidden = slots.length === 0;
    chart.draw(trafficChart(slots, colours));
    chart.resize();
    byId('traffic-legend').replaceChildren(
      ...kindsOf(slots, colours).map(({ name, colour, opacity, mark }) => {
        const { entry, sign } = named(name, { text: mark, colour });
        sign.style.opacity = String(opacity);
        return entry;
      }),
    );
  };
  model.addEventListener('change', redraw);

  return {
    async refresh() {
      const newer = await api.decisions(DECISIONS, decisions[0]?.id);
      decisions = [...newer, ...decisions].slice(0, DECISIONS);
      fillTable('traffic', trafficTable(decisions));
      tell(
        'traffic-note',
        decisions.length === 0
          ? 'No decision has been kept yet: a sample is, some seconds after the requests.'
          : `${spanText(decisions)}, by the newest ${decisions.length} of the sampled decisions; counts are of the requests that they stand for. Refused is what was sent to no node, failed what was and came back without an answer or too late for one.`,
      );
      redraw();
    },
    redraw,
  };
}
