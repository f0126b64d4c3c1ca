/** Keeps the sessions of one level packed: which one, from when on, and in whose memory. */
import type { Packed } from '../execution/messages.ts';
import type { WorkerPool } from '../execution/worker-pool.ts';
import type { RunInput } from '../weights/packed-file.ts';
import type { LevelCache } from './level-cache.ts';
import type { LevelModels } from './level-models.ts';
import { packing } from './packing.ts';

export interface PackedLevelOptions {
  readonly source: Pick<LevelModels, 'packsInFile' | 'packedFile' | 'packedWithMore'>;
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
  /** What was packed is not to be used any more, and packed anew. */
  renew(): void;
}

/** How long a level is the choice before it is packed: that takes work, and is for a level that stays. */
const STEADY_MS = 10_000;
/** How long that may wait for a quiet moment; between looks at what has come that could lie beside a packed file. */
const OVERDUE_MS = 60_000;
/** Of work a second, for as long as it has to be the choice, that makes another level worth a file: a thread's for half of the time. */
const WORTH_A_FILE_MS = 500;
const NONE: ReadonlyMap<number, Packed> = new Map();

export function packedLevel(options: PackedLevelOptions): PackedLevel {
  const { source, pool, cache, isQuiet, inputs, now = () => performance.now() } = options;
  const work = packing();
  let choice = options.first;
  let chosenMs = Number.NEGATIVE_INFINITY;
  /** The choice for which all has been done, packed or not; undefined before. */
  let settled: number | undefined;
  let settling: Promise<void> | undefined;
  /** Whether there is a packed file, and when levels were last looked for that could lie beside it. */
  let isFiled = false;
  let lookedMs = now();

  const pack = (hows: ReadonlyMap<number, Packed>, filed = false) => {
    isFiled = filed;
    pool.pack(hows);
  };
  const layMore = async () => {
    lookedMs = now();
    const level = choice;
    const packed = await source.packedWithMore();
    if (packed !== undefined && isFiled && level === settled && level === choice) pack(packed, true);
  };

  const apply = async (level: number) => {
    if (!source.packsInFile(level)) {
      settled = level;
      pack(cache.pack(level) ? new Map([[level, 'copy']]) : NONE);
      return;
    }
    // Until its file is there, a level runs as it lies.
    pack(NONE);
    const model = cache.peek(level);
    if (model === undefined || !cache.pack(level)) return;
    const packed = await source.packedFile(model, inputs(work.rows(level)));
    if (choice === level) settled = level;
    if (choice === level && packed !== undefined && cache.pack(level)) pack(packed, true);
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
      const isWorthIt = !source.packsInFile(choice) || work.workMs(choice) >= WORTH_A_FILE_MS;
      if (forMs >= STEADY_MS && isWorthIt && (overdue || isQuiet())) await settle(choice);
      if (isFiled && now() - lookedMs >= OVERDUE_MS && isQuiet()) await layMore();
      await pool.upkeep(isQuiet, overdue);
    },
    drop: () => pack(NONE),
    renew() {
      if (!isFiled) return;
      settled = undefined;
      pack(NONE);
    },
  };
}
