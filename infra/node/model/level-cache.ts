/** Levels held in memory, within a budget: the least recently used goes first, the sparsest always stays. */
import { SppError } from '../../../schema/errors.ts';
import type { LevelModels, SizedLevel } from './level-models.ts';

export interface LevelCache {
  /** Levels in memory. */
  readonly size: number;
  readonly usedBytes: number;
  /** A level's model, assembled once however many ask. @throws what the source throws; the same error for a short while */
  get(level: number): Promise<SizedLevel>;
  has(level: number): boolean;
  /**
   * Brings a level in before it is asked for, as the one to go first. Levels outside of `keep` make room for it, packed
   * sessions do not; where that is not enough it does not come in.
   * @returns its model; undefined where it is in memory already or on its way, cannot be had, or has no room
   */
  preload(level: number, keep: ReadonlySet<number>): Promise<SizedLevel | undefined>;
  /** A level's model if it is in memory; that counts as a use. */
  peek(level: number): SizedLevel | undefined;
  /**
   * Counts a level's packed sessions, in the place of another's.
   * @returns false where the budget does not hold them, and then counts none
   */
  pack(level: number | undefined): boolean;
  /** Levels in memory, the least recently used first. */
  levels(): number[];
  /** Forgets a model that no thread can load, unless another one has taken its place: it is made anew when it is asked for. */
  discard(model: SizedLevel): void;
  /** Forgets a level for as long as the error lasts. */
  fail(level: number, error: unknown): void;
  /** Why the last attempt to get a level failed; undefined when it did not. */
  faultOf(level: number): unknown;
}

type LevelSize = Pick<SizedLevel, 'ownBytes' | 'sharedBytes' | 'packedBytes'>;

export interface LevelCacheOptions {
  readonly source: Pick<LevelModels, 'model'>;
  readonly budgetBytes: number;
  readonly onEvict: (level: number) => void;
  /** The packed level's sessions are not to be packed any more: they go before any level does. */
  readonly onUnpack: () => void;
  /** Milliseconds on any steady clock. */
  readonly now: () => number;
}

export function levelCache(options: LevelCacheOptions): LevelCache {
  const { source, budgetBytes, onEvict, onUnpack, now } = options;
  /** In order of use, the least recent first. */
  const resident = new Map<number, SizedLevel>();
  const loading = new Map<number, Promise<SizedLevel>>();
  const faults = new Map<number, { error: unknown; untilMs: number }>();
  const preloading = new Set<number>();
  /** Of levels that have been made, also of those that are gone. */
  const sizes = new Map<number, LevelSize>();
  let packedLevel: number | undefined;

  const touch = (level: number, model: SizedLevel) => {
    resident.delete(level);
    resident.set(level, model);
  };

  const bytesOf = (levels: ReadonlyMap<number, LevelSize>) => {
    const all = [...levels.values()];
    const packed = packedLevel === undefined ? undefined : levels.get(packedLevel);
    return all.reduce(
      (sum, { ownBytes }) => sum + ownBytes,
      Math.max(0, ...all.map(({ sharedBytes }) => sharedBytes)) + (packed?.packedBytes ?? 0),
    );
  };
  const used = () => bytesOf(resident);

  const made = async (level: number): Promise<SizedLevel> => {
    const model = await source.model(level);
    const { ownBytes, sharedBytes, packedBytes } = model;
    sizes.set(level, { ownBytes, sharedBytes, packedBytes });
    return model;
  };

  const evict = (justUsed: number) => {
    if (used() > budgetBytes && packedLevel !== undefined) {
      packedLevel = undefined;
      onUnpack();
    }
    for (const level of [...resident.keys()]) {
      if (used() <= budgetBytes) return;
      if (level === 0 || level === justUsed) continue;
      resident.delete(level);
      onEvict(level);
    }
  };

  const load = async (level: number): Promise<SizedLevel> => {
    try {
      const model = await made(level);
      faults.delete(level);
      touch(level, model);
      evict(level);
      return model;
    } catch (error) {
      fail(level, error);
      throw error;
    }
  };

  const fail = (level: number, error: unknown) => {
    const pauseS = error instanceof SppError ? (error.retryAfterS ?? 0) : 0;
    resident.delete(level);
    faults.set(level, { error, untilMs: now() + pauseS * 1000 });
  };

  const stays = (level: number, keep: ReadonlySet<number>) =>
    level === 0 || level === packedLevel || keep.has(level);

  /** Beside those that stay; true where nothing is known of its size. */
  const hasRoom = (level: number, keep: ReadonlySet<number>): boolean => {
    const size = sizes.get(level);
    const staying = [...resident].filter(([other]) => stays(other, keep));
    return (
      size === undefined || bytesOf(new Map<number, LevelSize>([...staying, [level, size]])) <= budgetBytes
    );
  };

  /** In the order of use a preloaded level stands first: nobody has asked for it. */
  const admit = (level: number, model: SizedLevel, keep: ReadonlySet<number>) => {
    const inOrder = [...resident];
    resident.clear();
    for (const [other, held] of [[level, model] as const, ...inOrder]) resident.set(other, held);
    for (const [other] of inOrder) {
      if (used() <= budgetBytes) return;
      if (stays(other, keep)) continue;
      resident.delete(other);
      onEvict(other);
    }
  };

  const peek = (level: number): SizedLevel | undefined => {
    const model = resident.get(level);
    if (model !== undefined) touch(level, model);
    return model;
  };

  const underWay = (level: number, pending: Promise<SizedLevel>) => {
    const forget = () => loading.delete(level);
    loading.set(level, pending);
    pending.then(forget, forget);
    return pending;
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
      return loading.get(level) ?? underWay(level, load(level));
    },
    async preload(level, keep) {
      const isThere = () => resident.has(level) || loading.has(level);
      // Asked for again and again: what has no room, or takes its time to be made, is not made each time.
      if (isThere() || preloading.has(level) || faults.has(level) || !hasRoom(level, keep)) return undefined;
      preloading.add(level);
      const model = await made(level)
        .catch(() => undefined)
        .finally(() => preloading.delete(level));
      // Somebody may have asked for it meanwhile.
      if (model === undefined || isThere() || !hasRoom(level, keep)) return undefined;
      admit(level, model, keep);
      return model;
    },
    pack(level) {
      packedLevel = level;
      if (used() <= budgetBytes) return true;
      packedLevel = undefined;
      return false;
    },
    discard(model) {
      if (resident.get(model.level) === model) resident.delete(model.level);
    },
    fail,
    levels: () => [...resident.keys()],
    has: (level) => resident.has(level),
    peek,
    faultOf: (level) => faults.get(level)?.error,
  };
}
