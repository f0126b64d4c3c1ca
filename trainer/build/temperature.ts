/** What a two-tower model multiplies cosines by before its softmax: read off its own scores where it gives them out. */
import type { BoundSplit } from '../data/bind-dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { createOrtSession } from '../runtime/ort-session.ts';

const EXAMPLES = 8;
/** Share of the scores' variance that a straight line through the cosines may leave. */
const RESIDUAL = 1e-3;
/** Where the model gives out no scores: the deviation, in nats, that scores among the bank then have. */
const SPREAD = 3;
const MOST = 100;

interface Asked {
  readonly split: BoundSplit;
  readonly indices: readonly number[];
  readonly threads: number;
}

/** @param vectors [examples, 2 size]: both towers' unit vectors of the indices' examples */
export async function temperatureOf(
  graph: Graph,
  towers: readonly string[],
  { split, indices, threads }: Asked,
  vectors: Tensor,
): Promise<number> {
  const some = indices.slice(0, EXAMPLES);
  const cosines = similarities(vectors, some.length);
  const others = graph.outputs.filter(({ name }) => !towers.includes(name));
  if (others.length > 0) {
    const session = await createOrtSession(ortModel({ ...graph, outputs: others }), { threads });
    try {
      const results = await session.run(await split.feeds(some));
      for (const { dims, data } of Object.values(results)) {
        if (dims.join() !== [some.length, some.length].join()) continue;
        const scores = Array.from(data, Number);
        for (const candidate of [cosines, transposed(cosines, some.length)]) {
          const slope = slopeOf(candidate, scores);
          if (slope !== undefined && slope > 0) return slope;
        }
      }
    } finally {
      await session.close();
    }
  }
  const all = similarities(vectors, indices.length);
  return Math.min(MOST, SPREAD / Math.max(deviation(all), SPREAD / MOST));
}

/** First towers against second ones, [count, count] row by row. */
function similarities({ data, dims }: Tensor, count: number): number[] {
  const width = dims[1] ?? 2;
  const size = width / 2;
  const values = data as Float32Array;
  return Array.from({ length: count * count }, (_, at) => {
    const [i, j] = [Math.floor(at / count), at % count];
    let sum = 0;
    for (let k = 0; k < size; k++)
      sum += (values[i * width + k] as number) * (values[j * width + size + k] as number);
    return sum;
  });
}

function transposed(matrix: readonly number[], size: number): number[] {
  return matrix.map((_, at) => matrix[(at % size) * size + Math.floor(at / size)] as number);
}

/** Slope of scores = slope * cosine + intercept by least squares; undefined when that is not what they are. */
function slopeOf(cosines: readonly number[], scores: readonly number[]): number | undefined {
  const [x, y] = [mean(cosines), mean(scores)];
  const along = cosines.reduce((sum, c, i) => sum + (c - x) * ((scores[i] as number) - y), 0);
  const variance = cosines.reduce((sum, c) => sum + (c - x) ** 2, 0);
  const slope = along / variance;
  const rest = scores.reduce((sum, s, i) => sum + (s - y - slope * ((cosines[i] as number) - x)) ** 2, 0);
  return rest <= RESIDUAL * scores.reduce((sum, s) => sum + (s - y) ** 2, 0) ? slope : undefined;
}

function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
