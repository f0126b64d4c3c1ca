/**
 * `bench:engine --passes`: forward passes over many examples as calibration, the teacher and measuring make them, with reading beside the
 * computing; against the same without any reading, and with reading before each run.
 */
import { dataSettings } from '../../trainer/cli/data-flags.ts';
import { bindDataset } from '../../trainer/data/bind-dataset.ts';
import { blocks } from '../../trainer/data/dataset.ts';
import { openDataset } from '../../trainer/data/open-dataset.ts';
import { ortModel } from '../../trainer/graph/ort-model.ts';
import type { TracedModel } from '../../trainer/pairs/prepare.ts';
import { inOrder, startSessionPool, weightBytes } from '../../trainer/runtime/session-pool.ts';
import { median } from '../local/statistics.ts';

const BLOCK = 32;
const ROUNDS = 3;

/** Examples a second by way, the median of alternating rounds. */
export interface Passes {
  readonly computing: number;
  readonly beside: number;
  readonly before: number;
}

/** @param spec of a data set, as `--data` takes it */
export async function benchPasses({ graph }: TracedModel, spec: string, examples: number): Promise<Passes> {
  const settings = {
    ...dataSettings({ crop: 1, maxBad: 0 }, graph.inputs),
    most: { train: examples, test: 1 },
  };
  const { train } = bindDataset(await openDataset(spec, settings), graph.inputs);
  const count = Math.min(examples, train.count);
  const pool = startSessionPool(weightBytes(graph));
  const session = await pool.open(ortModel(graph));
  const [output] = graph.outputs.map(({ name }) => name);
  const run = async (feeds: ReturnType<typeof train.feeds>) => session.run(await feeds, [output ?? '']);
  const one = await train.feeds(Array.from({ length: BLOCK }, (_, i) => i));
  const all = () => blocks(count, BLOCK);
  const ways: Readonly<Record<keyof Passes, () => Promise<void>>> = {
    computing: () =>
      inOrder(
        all(),
        pool.ahead,
        () => run(Promise.resolve(one)),
        () => {},
      ),
    beside: () =>
      inOrder(
        all(),
        pool.ahead,
        (indices) => run(train.feeds(indices)),
        () => {},
      ),
    before: async () => {
      // As many blocks as there are threads are read, then computed.
      const waiting = [...all()];
      while (waiting.length > 0) {
        const read = await Promise.all(waiting.splice(0, pool.size).map((indices) => train.feeds(indices)));
        await Promise.all(read.map((feeds) => run(Promise.resolve(feeds))));
      }
    },
  };
  const rates: Record<keyof Passes, number[]> = { computing: [], beside: [], before: [] };
  await ways.computing();
  for (let round = 0; round < ROUNDS; round++)
    for (const way of Object.keys(ways) as (keyof Passes)[]) {
      const started = performance.now();
      await ways[way]();
      rates[way].push((1000 * count) / (performance.now() - started));
    }
  await session.close();
  await pool.close();
  return { computing: median(rates.computing), beside: median(rates.beside), before: median(rates.before) };
}

export function passesReport(model: string, { computing, beside, before }: Passes): string {
  const line = (what: string, rate: number) =>
    `${what}: ${rate.toFixed(0)} examples a second, ${((100 * rate) / computing).toFixed(0)} %`;
  return [
    model,
    line('computing alone, nothing read', computing),
    line('reading beside computing, as builds do', beside),
    line('reading before computing', before),
  ].join('\n');
}
