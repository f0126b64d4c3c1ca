/** Keeps the sessions of one level packed: which one, from when on, and in whose memory. */
import type { Packed } from '../execution/messages.ts';
import type { WorkerPool } from '../execution/worker-pool.ts';
import type { RunInput } from '../weights/packed-file.ts';
import type { LevelCache } from './level-cache.ts';
import type { LevelModels } from './level-models.ts';
import { packing } from './packing.ts';

export interface PackedLevelOptions {
  readonly source: Pick<LevelModels, 'packsInFile' | 'packedFile'>;
  readonly pool: Pick<WorkerPool, 'pack' | 'upkeep'>;
  readonly cache: Pick<LevelCache, 'pack' | 'peek'>;
  /** The choice before anything has run. */
  readonly first: number;
  /** Whether nobody waits. */
  readonly isQuiet: () => boolean;
  /** Inputs of so many rows. */
  readonly inputs: (rows: number) => readonly RunInput[];
  /** Milliseconds on any steady clock. */
  readonly now?: () => number;
}

export interface PackedLevel {
  /** The level on which most time is spent, whether or not it is packed yet. */
  readonly choice: number;
  /** Of each run. */
  record(level: number, runMs: number, rows: number): void;
  /** Packs a level that is the choice; to be awaited before its first session is made, so that this is a packed one. */
  settle(level: number): Promise<void>;
  /** To be called at even intervals: follows the load, and gives threads the sessions that they lack. */
  keep(): Promise<void>;
  /** There is no memory for packed sessions: none are to be made until another level is the choice. */
  drop(): void;
}

/** How long a level is the choice before it is packed: that takes work, and is for a level that stays. */
const STEADY_MS = 10_000;
/** How long that may wait for a quiet moment. */
const OVERDUE_MS = 60_000;
/** Of work, by `packing`, that makes a level worth a file: about that of a thread that is busy for half of the time. */
const WORTH_A_FILE_MS = 1000;
const NONE: ReadonlyMap<number, Packed> = new Map();

export function packedLevel(options: PackedLevelOptions): PackedLevel {
  const { source, pool, cache, isQuiet, inputs, now = () => performance.now() } = options;
  const work = packing();
  let choice = options.first;
  let chosenMs = Number.NEGATIVE_INFINITY;
  /** The choice for which all has been done, packed or not; undefined before. */
  let settled: number | undefined;
  let settling: Promise<void> | undefined;

  const apply = async (level: number) => {
    if (!source.packsInFile(level)) {
      settled = level;
      pool.pack(cache.pack(level) ? new Map([[level, 'copy']]) : NONE);
      return;
    }
    // Until its file is there, a level runs as it lies.
    pool.pack(NONE);
    const model = cache.peek(level);
    if (model === undefined || !cache.pack(level)) return;
    const packed = await source.packedFile(model, inputs(work.rows(level)));
    if (choice === level) settled = level;
    if (choice === level && packed !== undefined && cache.pack(level)) pool.pack(packed);
    else cache.pack(undefined);
  };
  const settle = async (level: number) => {
    if (level !== choice || level === settled) return;
    settling ??= apply(level).finally(() => {
      settling = undefined;
    });
    await settling;
  };
  // Small levels need nothing for it.
  if (!source.packsInFile(choice)) void settle(choice);

  return {
    get choice() {
      return choice;
    },
    record: work.record,
    settle,
    async keep() {
      const best = work.choose(choice, source.packsInFile(choice) ? WORTH_A_FILE_MS : 0) ?? choice;
      if (best !== choice) {
        choice = best;
        chosenMs = now();
      }
      const forMs = now() - chosenMs;
      const overdue = forMs >= OVERDUE_MS;
      if (forMs >= STEADY_MS && (overdue || isQuiet())) await settle(choice);
      await pool.upkeep(isQuiet, overdue);
    },
    drop: () => pool.pack(NONE),
  };
}
