/** What is padded tells nothing: the closed forms come out as if every text had been given alone. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { paddedEncoder, paddedTexts, textAlone } from '../../test/support/padded-encoder.ts';
import { compensateLevel, privateBiases } from '../compensation/compensate-level.ts';
import { compensatedOrder } from '../compensation/compensated-order.ts';
import { emptySums, type RefitSums, refit } from '../compensation/refit.ts';
import type { Tensors } from '../data/dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { cutGraph } from '../pairs/cut.ts';
import type { LinearMap, PreparedModel } from '../pairs/pair.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { type SessionPool, startSessionPool } from '../runtime/session-pool.ts';
import { type Moments, MomentsAccumulator, momentsGraph } from '../statistics/activation-moments.ts';
import { readBias, readMatrix, weightsOf } from '../weights/linear-weights.ts';
import { type CalibratedModel, calibrate, rotated } from './calibrate-model.ts';
import { measureMoments, type Pool } from './calibration.ts';
import { denseStreams, refitSites } from './dense-streams.ts';
import { buildLevels } from './level-stage.ts';
import { buildOptionsSchema } from './options.ts';
import { silentProgress } from './progress.ts';
import { refitLevel } from './refit-level.ts';

let sessions: SessionPool;
let model: PreparedModel;
let calibrated: CalibratedModel;
beforeAll(async () => {
  sessions = startSessionPool(0, 1);
  model = await preparePairs(paddedEncoder(), 'built');
  const options = buildOptionsSchema.parse({ id: 'padded', rotate: false, calibration: 512 });
  calibrated = await calibrate(model, paddedTexts(640), options, silentProgress);
});
afterAll(async () => {
  for (const session of opened.values()) await session.close();
  await sessions.close();
});

const inPlace = () => model.pairs.map(({ units }) => Array.from({ length: units }, (_, unit) => unit));
const share = (of: number) => inPlace().map((units) => units.slice(0, Math.ceil(of * units.length)));

/** Of texts that each run alone. */
async function momentsAlone(values: readonly string[], texts: readonly number[]) {
  const session = await createOrtSession(ortModel(momentsGraph(model.graph, values)));
  const moments = new MomentsAccumulator(values);
  for (const text of texts) moments.add(await session.run(textAlone(text)));
  await session.close();
  return moments.result();
}

function expectClose(values: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(values.length).toBe(expected.length);
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(largest).toBeGreaterThan(0);
  const apart = Array.from(values).reduce(
    (most, value, i) => Math.max(most, Math.abs(value - (expected[i] as number))),
    0,
  );
  // Of sums in float32, added up in another order.
  expect(apart / largest).toBeLessThan(2e-3);
}

test('moments, and what ridge compensation makes of them', async () => {
  const { pool, moments } = calibrated;
  const inputs = model.pairs.flatMap(({ consumers }) => consumers.map(({ input }) => input));
  const values = [...new Set([...moments.keys(), ...inputs])];
  expect(values.length).toBe(8);
  const progress = silentProgress.stage('calibrate', 100);
  const measured = await measureMoments(model.graph, values, { ...pool, block: 32 }, sessions, progress);
  // Of so many texts as give as many tokens.
  let left = measured.get(values[0] as string)?.count ?? 0;
  const texts = pool.indices.filter((text) => {
    left -= lengthOf(text);
    return left >= 0;
  });
  const alone = await momentsAlone(values, texts);
  for (const value of values) {
    const [own, expected] = [measured.get(value) as Moments, alone.get(value) as Moments];
    expect(own.count).toBe(expected.count);
    expectClose(own.sum, expected.sum);
    expectClose(own.gram, expected.gram);
  }
  const [level, wanted] = [measured, alone].map((each) =>
    compensateLevel(model.graph, model.pairs, each, share(0.5), 1e-3),
  );
  for (const { weight } of model.pairs.flatMap(({ consumers }) => consumers))
    expectClose(dataOf(level as Graph, weight.tensor), dataOf(wanted as Graph, weight.tensor));
});

test('refits of every output matrix, each behind those before it', async () => {
  const { pool } = calibrated;
  const few = { ...pool, indices: pool.indices.slice(0, 64) };
  const streams = await denseStreams(model, refitSites(model), few, 1);
  const size = streams.blocks[0]?.feeds.input_ids?.dims[0] ?? 0;
  expect(streams.blocks.length * size).toBe(64);
  const biases = privateBiases(model.pairs);
  const level = cutGraph(model, share(0.4));
  const refitted = await refitLevel(level, biases, streams, sessions);
  let graph = level;
  expect(streams.sites.length).toBe(model.pairs.flatMap(({ consumers }) => consumers).length);
  for (const { consumer, stream } of streams.sites) {
    const sums: [RefitSums | undefined, RefitSums | undefined] = [undefined, undefined];
    for (const [i, text] of few.indices.entries()) {
      const to = Math.floor(i / size) % 4 === 3 ? 1 : 0;
      sums[to] = await withText(sums[to], textAlone(text), graph, consumer, stream);
    }
    const { change, damping } = refit(sums[0] as RefitSums, sums[1] as RefitSums, true);
    expect(damping).toBeDefined();
    const { rows: dOut, cols: dIn, data } = readMatrix(weightsOf(graph), consumer);
    const own = readMatrix(weightsOf(refitted), consumer).data;
    const turned = own.map((_, i) => change[(i % dIn) * dOut + Math.floor(i / dIn)] as number);
    expectClose(
      own.map((value, i) => value - (data[i] as number)),
      turned,
    );
    const [before, after] = [graph, refitted].map((each) => readBias(weightsOf(each), consumer.bias));
    expectClose(
      (after as Float64Array).map((value, o) => value - ((before as Float64Array)[o] as number)),
      change.slice(dIn * dOut),
    );
    const taken = [consumer.weight.tensor, consumer.bias?.tensor ?? ''];
    graph = {
      ...graph,
      initializers: new Map(
        [...graph.initializers].map(([name, tensor]) => [
          name,
          taken.includes(name) ? (refitted.initializers.get(name) as Tensor) : tensor,
        ]),
      ),
    };
  }
});

test('levels come nearer to the dense model', async () => {
  const { masks: _, ...data } = calibrated.pool.data;
  const lossesOf = async (pool: Pool) => {
    const progress = silentProgress.stage('calibrate', 100);
    const values = [...calibrated.moments.keys()];
    const whole = { ...pool, block: pool.indices.length };
    const moments = await measureMoments(model.graph, values, whole, sessions, progress);
    const turned = await rotated({ ...calibrated, pool, moments });
    const order = await compensatedOrder(turned.model, turned.moments, inPlace());
    const widths = [0.17, 0.7, 0.85].map((of) => share(of).map(({ length }) => length));
    const levels = await buildLevels(turned, order, widths, { compensate: true }, silentProgress);
    return levels.map(({ loss }) => loss as number);
  };
  const own = await lossesOf(calibrated.pool);
  const other = await lossesOf({ ...calibrated.pool, data });
  const [sparsest, ...above] = own.map((loss, i) => loss / (other[i] as number));
  expect(sparsest).toBeLessThan(1);
  // Those that could be near are as near as what tells of tokens alone lets them be.
  for (const ratio of above) expect(ratio).toBeLessThan(0.9);
});

const lengthOf = (text: number) => textAlone(text).input_ids?.data.length ?? 0;

const dataOf = (graph: Graph, name: string) => graph.initializers.get(name)?.data as Float32Array;

/** The sums with one text's rows more: (u, 1) and s* - s as plain products of what both graphs give. */
async function withText(
  sums: RefitSums | undefined,
  text: Tensors,
  level: Graph,
  { input }: LinearMap,
  stream: string,
): Promise<RefitSums> {
  const [u, reached] = (await valuesOf(level, [input, stream], text)) as [Floats, Floats];
  const [wanted] = (await valuesOf(model.graph, [stream], text)) as [Floats];
  const [dIn, dOut] = [u.dims.at(-1) ?? 0, reached.dims.at(-1) ?? 0];
  const size = dIn + 1;
  const { rows, gram, cross } = sums ?? emptySums(size, size * dOut);
  const count = u.data.length / dIn;
  for (let row = 0; row < count; row++) {
    const one = [...u.data.subarray(row * dIn, (row + 1) * dIn), 1];
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++)
        gram[i * size + j] = (gram[i * size + j] as number) + (one[i] as number) * (one[j] as number);
      for (let o = 0; o < dOut; o++) {
        const at = row * dOut + o;
        const gap = (wanted.data[at] as number) - (reached.data[at] as number);
        cross[i * dOut + o] = (cross[i * dOut + o] as number) + (one[i] as number) * gap;
      }
    }
  }
  return { rows: rows + count, size, gram, cross };
}

type Floats = Tensor & { readonly data: Float32Array };

const opened = new Map<Graph, Awaited<ReturnType<typeof createOrtSession>>>();

async function valuesOf(graph: Graph, values: readonly string[], text: Tensors): Promise<Tensor[]> {
  const every = refitSites(model).flatMap(({ consumer, stream }) => [consumer.input, stream]);
  const session = opened.get(graph) ?? (await createOrtSession(ortModel(graph, [...new Set(every)])));
  opened.set(graph, session);
  const outputs = await session.run(text);
  return values.map((value) => outputs[value] as Tensor);
}
