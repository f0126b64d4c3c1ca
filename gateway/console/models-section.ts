/** What the models' levels are worth, take and cost. */
import type { ChartIn } from '../../schema/page/chart.ts';
import { byId, fillTable, offer, tell } from '../../schema/page/elements.ts';
import type { Model, OperatorApi } from './api.ts';
import { frontierChart, levelsTable } from './frontier-chart.ts';
import { palette, type Section } from './section.ts';

export function modelsSection(api: OperatorApi, chartIn: ChartIn): Section {
  const chart = chartIn(byId('frontier'));
  const select = byId('model') as HTMLSelectElement;
  let models: readonly Model[] = [];

  const redraw = () => {
    const chosen = offer(
      select,
      models.map(({ name }) => name),
    );
    const model = models.find(({ name }) => name === chosen);
    tell(
      'model-note',
      model === undefined
        ? 'No model yet: `trainer upload` brings one.'
        : `artifact ${model.artifactVersion}, ${model.task}; times at the policy's quantile, of one input, at the node that would be quickest. The line goes through the levels that no other one beats.`,
    );
    for (const id of ['model-choice', 'model-views']) byId(id).hidden = model === undefined;
    const levels = model?.levels ?? [];
    fillTable('levels', levelsTable({ levels }));
    chart.draw(frontierChart({ levels }, palette()));
    chart.resize();
  };
  select.addEventListener('change', redraw);

  return {
    async refresh() {
      models = await api.models();
      redraw();
    },
    redraw,
  };
}
