/**
 * Forward passes on all cores: a thread a core, each with a session of its own. Whoever asks reads the next examples while the threads
 * compute, so that no core waits for data.
 */
import { keepFullPrecision } from '../../schema/full-precision.ts';
import { machineMemory } from '../../schema/machine-memory.ts';
import { elementCount, type Graph, type Tensor } from '../graph/graph.ts';
import { computeProvider, computeThreads } from './compute.ts';
import type { OrtModel } from './ort-session.ts';
import type { SessionAnswer, SessionQuestion } from './session-worker.ts';
import './subnormals.ts';
import { startWorkerPool } from './worker-pool.ts';

export interface SessionPool {
  /** Runs that are computed side by side. */
  readonly size: number;
  /** Runs to have under way: while each thread computes one, its next one is there and the one behind that is read. */
  readonly ahead: number;
  /** @throws `bad-model` when onnxruntime cannot load it */
  open(model: Uint8Array | OrtModel): Promise<PooledSession>;
  close(): Promise<void>;
}

export interface PooledSession {
  /**
   * As a session's: computed by the thread that is free first.
   * @param given memory of feeds that goes along instead of being copied, and is gone here afterwards
   */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: readonly string[],
    given?: readonly ArrayBuffer[],
  ): Promise<Record<string, Tensor>>;
  /** How long a run takes by itself, in ms, when all threads do the same. */
  time(feeds: Readonly<Record<string, Tensor>>, outputs?: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

/** Weights in all threads together may take this share of the machine's memory; beyond, fewer threads share a session. */
const MEMORY_SHARE = 0.25;
/** As onnxruntime keeps them: as they are read, and in the form that it multiplies by. */
const COPIES = 2;

/** What a graph's float weights take. */
export function weightBytes({ initializers }: Pick<Graph, 'initializers'>): number {
  return [...initializers.values()].reduce((sum, { dims }) => sum + 4 * elementCount(dims), 0);
}

/** @param modelBytes size of the largest model that will be opened */
export function startSessionPool(modelBytes: number, cores = computeThreads()): SessionPool {
  const fitting = Math.floor((MEMORY_SHARE * machineMemory()) / Math.max(1, COPIES * modelBytes));
  const provider = computeProvider();
  if (provider === 'cuda') keepFullPrecision();
  // A GPU's work comes from one queue.
  const size = provider === 'cpu' ? Math.max(1, Math.min(cores, fitting)) : 1;
  const threads = Math.max(1, Math.floor(cores / size));
  const script = new URL('./session-worker.ts', import.meta.url);
  const pool = startWorkerPool<SessionQuestion, SessionAnswer>(script, size);
  let opened = 0;
  return {
    size,
    ahead: 3 * size,
    async open(given) {
      opened += 1;
      const id = opened;
      const model = given instanceof Uint8Array ? { bytes: given } : given;
      await pool.askAll({ kind: 'open', id, model, threads, provider });
      return {
        async run(feeds, outputs, given = []) {
          const { outputs: results } = await pool.ask({ kind: 'run', id, feeds, outputs }, given);
          return { ...results };
        },
        async time(feeds, outputs) {
          const answers = await pool.askAll({ kind: 'run', id, feeds, outputs });
          return Math.max(...answers.map(({ elapsedMs }) => elapsedMs));
        },
        async close() {
          await pool.askAll({ kind: 'close', id });
        },
      };
    },
    close: () => pool.close(),
  };
}

/**
 * Does something with each item in order, while the results of the next ones are being made.
 * @param make starts the work for an item; at most `ahead` are under way
 * @param take may answer false, or promise it: nothing more is wanted then
 */
export async function inOrder<Item, Result>(
  items: Iterable<Item>,
  ahead: number,
  make: (item: Item) => Promise<Result>,
  take: (result: Result, item: Item) => unknown,
): Promise<void> {
  const under: { readonly item: Item; readonly result: Promise<Result> }[] = [];
  const takeFirst = async (): Promise<boolean> => {
    const first = under.shift();
    return first !== undefined && (await take(await first.result, first.item)) === false;
  };
  try {
    for (const item of items) {
      const result = make(item);
      // Whoever waits for it hears of a failure; until then it must not count as unhandled.
      result.catch(() => {});
      under.push({ item, result });
      if (under.length >= ahead && (await takeFirst())) return;
    }
    while (under.length > 0) if (await takeFirst()) return;
  } finally {
    // Nothing may be left running when whoever asked closes the pool, and a second failure is not another one.
    await Promise.allSettled(under.map(({ result }) => result));
  }
}
