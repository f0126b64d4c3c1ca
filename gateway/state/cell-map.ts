/**
 * Cells by key, a bounded number of them. Two generations, so that a look-up moves nothing: what was used since the last
 * turn is in the younger, and when that is full the older one is dropped and the younger takes its place.
 */
import { type Background, type Cell, type CellOptions, cell } from './cell.ts';

export interface CellMap<T> {
  get(key: string, background: Background): T | Promise<T>;
  within(key: string, ageMs: number): T | Promise<T>;
  set(key: string, value: T): void;
  /** The same for what is the first of its key, unless something else has been said of it since. */
  add(key: string, value: T & {}): void;
  /** The next `get` loads anew. */
  drop(key: string): void;
}

export function cellMap<T>(
  options: Omit<CellOptions<T>, 'load'> & {
    readonly load: (key: string) => Promise<T>;
    /** Of a generation. */
    readonly limit: number;
  },
): CellMap<T> {
  const { limit, load, ...rest } = options;
  let young = new Map<string, Cell<T>>();
  let old = new Map<string, Cell<T>>();

  const touch = (key: string): Cell<T> => {
    const used = young.get(key);
    if (used !== undefined) return used;
    const known = old.get(key) ?? cell<T>({ ...rest, load: () => load(key) });
    if (young.size >= limit) {
      old = young;
      young = new Map();
    }
    young.set(key, known);
    return known;
  };

  return {
    get: (key, background) => touch(key).get(background),
    within: (key, ageMs) => touch(key).within(ageMs),
    set: (key, value) => touch(key).set(value),
    add(key, value) {
      const known = touch(key);
      if (known.held() == null) known.set(value);
    },
    drop(key) {
      young.delete(key);
      old.delete(key);
    },
  };
}
