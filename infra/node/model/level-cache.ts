/** Levels held in memory, within a budget: the least recently used goes first, the sparsest always stays. */
import { SppError } from '../../../schema/errors.ts';
import type { LevelModel } from '../execution/worker-pool.ts';
import type { LevelSource } from './level-source.ts';

export interface LevelCache {
  /** Levels in memory. */
  readonly size: number;
  readonly usedBytes: number;
  /** A level's model, assembled once however many ask. @throws what the source throws; the same error for a short while */
  get(level: number): Promise<LevelModel>;
  has(level: number): boolean;
  /** A level's model if it is in memory; that counts as a use. */
  peek(level: number): LevelModel | undefined;
  /** Why the last attempt to get a level failed; undefined when it did not. */
  faultOf(level: number): unknown;
}

export interface LevelCacheOptions {
  readonly source: LevelSource;
  readonly budgetBytes: number;
  /** How many copies a resident level costs: the bytes here and one session a worker. */
  readonly copies: number;
  readonly onEvict: (level: number) => void;
  /** Milliseconds on any steady clock. */
  readonly now: () => number;
}

export function levelCache(options: LevelCacheOptions): LevelCache {
  const { source, budgetBytes, copies, onEvict, now } = options;
  /** In order of use, the least recent first. */
  const resident = new Map<number, LevelModel>();
  const loading = new Map<number, Promise<LevelModel>>();
  const faults = new Map<number, { error: unknown; untilMs: number }>();

  const touch = (level: number, model: LevelModel) => {
    resident.delete(level);
    resident.set(level, model);
  };

  const used = () => [...resident.values()].reduce((sum, { bytes }) => sum + bytes.length * copies, 0);

  const evict = (justUsed: number) => {
    let usedBytes = used();
    for (const [level, { bytes }] of resident) {
      if (usedBytes <= budgetBytes) return;
      if (level === 0 || level === justUsed) continue;
      resident.delete(level);
      usedBytes -= bytes.length * copies;
      onEvict(level);
    }
  };

  const load = async (level: number): Promise<LevelModel> => {
    try {
      const bytes = await source.model(level);
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
      shared.set(bytes);
      const model = { level, bytes: shared };
      faults.delete(level);
      touch(level, model);
      evict(level);
      return model;
    } catch (error) {
      const pauseS = error instanceof SppError ? (error.retryAfterS ?? 0) : 0;
      faults.set(level, { error, untilMs: now() + pauseS * 1000 });
      throw error;
    }
  };

  const peek = (level: number): LevelModel | undefined => {
    const model = resident.get(level);
    if (model !== undefined) touch(level, model);
    return model;
  };

  return {
    get size() {
      return resident.size;
    },
    get usedBytes() {
      return used();
    },
    async get(level) {
      const model = peek(level);
      if (model !== undefined) return model;
      const fault = faults.get(level);
      if (fault !== undefined && now() < fault.untilMs) throw fault.error;
      const underWay = loading.get(level);
      if (underWay !== undefined) return underWay;
      const pending = load(level);
      const forget = () => loading.delete(level);
      loading.set(level, pending);
      pending.then(forget, forget);
      return pending;
    },
    has: (level) => resident.has(level),
    peek,
    faultOf: (level) => faults.get(level)?.error,
  };
}
