/** A model's answers to examples, by onnxruntime: in blocks that fit the memory, kept when they are few. */
import { SppError } from '../../schema/errors.ts';
import { leanForward } from '../autodiff/lean-forward.ts';
import type { BoundDataset, BoundSplit } from '../data/bind-dataset.ts';
import { blocks } from '../data/dataset.ts';
import { elementCount, type Graph, type Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { computeProvider } from '../runtime/compute.ts';
import { createOrtSession, type OrtSession } from '../runtime/ort-session.ts';
import { inOrder, type PooledSession, type SessionPool } from '../runtime/session-pool.ts';
import { answerName } from './answer.ts';
import type { StageProgress } from './progress.ts';

const MOST_EXAMPLES = 256;
/** A thread's share of the caches holds no more. */
const MOST_POOLED = 32;
/** Attention keeps a row for each pair of tokens. */
const MOST_TOKENS = 16_384;
const MOST_ELEMENTS = 2 ** 25;
/** Floats of answers that are kept (256 MiB); beyond, they are computed again when asked for. */
export const KEPT_ELEMENTS = 2 ** 26;

/** Examples to compute at once. @param answer shape of one example's answer */
export function blockSize(data: BoundDataset, answer: readonly number[]): number {
  const fitting = Math.min(MOST_TOKENS / data.length, MOST_ELEMENTS / Math.max(1, elementCount(answer)));
  return Math.max(1, Math.min(MOST_EXAMPLES, Math.floor(fitting)));
}

/** Of examples that several threads compute; always the same, so that a run that goes on gets the same numbers. */
export function pooledBlock(most: number, { size }: SessionPool): number {
  return Math.max(1, Math.min(MOST_POOLED, Math.floor(most / size)));
}

/** Finding out what is not read takes as long as a few hundred examples. */
const WORTH_LEANING = 2048;

/** Which examples, and how they are run. */
export interface Asked {
  readonly split: BoundSplit;
  readonly indices: readonly number[];
  readonly block: number;
  readonly threads: number;
  /** Threads that compute blocks side by side; without them one session does, on `threads`. */
  readonly sessions?: SessionPool;
}

/** Answers [examples, ...] of an answer graph, row i for indices[i]. Those of a level that has lost everything may not be finite. */
export async function answersOf(graph: Graph, asked: Asked): Promise<Tensor> {
  return askedOnce(graph, (session) => runBlocks(session, answerName(graph), asked), asked);
}

/** The same of the dense model, which all else is held to. @throws `numerical-failure` when one is not finite */
export async function finiteAnswersOf(graph: Graph, asked: Asked, progress?: StageProgress): Promise<Tensor> {
  const run = (session: Running) => runBlocks(session, answerName(graph), asked, assertFinite, progress);
  return askedOnce(graph, run, asked);
}

async function askedOnce(
  graph: Graph,
  run: (session: Running) => Promise<Tensor>,
  asked: Asked,
): Promise<Tensor> {
  const session = await openSession(graph, asked);
  try {
    return await run(session);
  } finally {
    await session.close();
  }
}

function assertFinite(data: Float32Array, output: string): void {
  if (data.every(Number.isFinite)) return;
  throw new SppError('numerical-failure', `The dense model's output ${output} is not finite on the data.`, {
    hint: 'Check the data and its normalisation.',
  });
}

async function openSession(
  graph: Graph,
  { sessions, threads, indices }: Asked,
): Promise<PooledSession | OrtSession> {
  const model = ortModel(indices.length < WORTH_LEANING ? graph : await leanForward(graph));
  return sessions?.open(model) ?? createOrtSession(model, { threads, provider: computeProvider() });
}

/** What both kinds of session can do. */
interface Running {
  run(feeds: Readonly<Record<string, Tensor>>, outputs: readonly string[]): Promise<Record<string, Tensor>>;
}

async function runBlocks(
  session: Running,
  output: string,
  { split, indices, block: most, sessions }: Asked,
  check: (data: Float32Array, output: string) => void = () => {},
  progress?: StageProgress,
): Promise<Tensor> {
  const parts: Float32Array[] = [];
  let tail: readonly number[] = [];
  const block = sessions === undefined ? most : pooledBlock(most, sessions);
  const answerTo = async (places: readonly number[]) => {
    const feeds = await split.feeds(places.map((place) => indices[place] as number));
    return (await session.run(feeds, [output]))[output];
  };
  await inOrder(blocks(indices.length, block), sessions?.ahead ?? 1, answerTo, (answer, places) => {
    if (!(answer?.data instanceof Float32Array)) {
      throw new SppError('bad-model', `The output ${output} is not float32.`);
    }
    check(answer.data, output);
    parts.push(answer.data);
    tail = answer.dims.slice(1);
    progress?.update((places.at(-1) ?? 0) + 1);
  });
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return { dtype: 'float32', dims: [indices.length, ...tail], data };
}

/** The dense model's answers, by place in the list of examples that they were made for. */
export interface Answers {
  rows(places: readonly number[]): Promise<Tensor>;
  close(): Promise<void>;
}

/** Kept in memory when they fit; else computed when asked for, which gives a resumed run the same numbers too. */
export async function denseAnswers(
  graph: Graph,
  asked: Asked,
  answer: readonly number[],
  progress?: StageProgress,
): Promise<Answers> {
  if (asked.indices.length * elementCount(answer) <= KEPT_ELEMENTS) {
    const all = await finiteAnswersOf(graph, asked, progress);
    return { rows: async (places) => takeRows(all, places), close: async () => {} };
  }
  const { sessions: _, ...own } = asked;
  return freshAnswers(graph, own);
}

/** Computed whenever asked for: for examples of which few are asked for twice. @throws as `finiteAnswersOf`, when asked */
export async function freshAnswers(graph: Graph, asked: Asked): Promise<Answers> {
  const session = await openSession(graph, asked);
  const output = answerName(graph);
  return {
    rows: (places) => {
      const indices = places.map((place) => asked.indices[place] as number);
      return runBlocks(session, output, { ...asked, indices }, assertFinite);
    },
    close: () => session.close(),
  };
}

/** Some rows of a tensor, in the order asked for. */
function takeRows(tensor: Tensor, rows: readonly number[]): Tensor {
  const source = tensor.data as Float32Array;
  const width = source.length / (tensor.dims[0] ?? 1);
  const data = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) data.set(source.subarray(row * width, (row + 1) * width), i * width);
  return { dtype: 'float32', dims: [rows.length, ...tensor.dims.slice(1)], data };
}
