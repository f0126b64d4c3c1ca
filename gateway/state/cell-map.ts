/** Cells by key, a bounded number of them: the key used longest ago goes first. */
import { type Background, type Cell, type CellOptions, cell } from './cell.ts';

export interface CellMap<T> {
  get(key: string, background: Background): Promise<T>;
  set(key: string, value: T): void;
  /** The next `get` loads anew. */
  drop(key: string): void;
}

export function cellMap<T>(
  options: Omit<CellOptions<T>, 'load'> & { load: (key: string) => Promise<T>; limit: number },
): CellMap<T> {
  const { limit, load, ...rest } = options;
  const cells = new Map<string, Cell<T>>();

  const touch = (key: string): Cell<T> => {
    const known = cells.get(key) ?? cell<T>({ ...rest, load: () => load(key) });
    cells.delete(key);
    cells.set(key, known);
    const oldest = cells.keys().next().value;
    if (cells.size > limit && oldest !== undefined) cells.delete(oldest);
    return known;
  };

  return {
    get: (key, background) => touch(key).get(background),
    set: (key, value) => touch(key).set(value),
    drop: (key) => void cells.delete(key),
  };
}
