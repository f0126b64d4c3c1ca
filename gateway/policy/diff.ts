/** What differs between two documents, by path: for the trail of changes, and for whoever is about to make one. */

export interface Change {
  /** As `tiers[0].upToMs`. */
  readonly path: string;
  /** Absent where there was nothing. */
  readonly from?: unknown;
  /** Absent where nothing is left. */
  readonly to?: unknown;
}

/** In order of path; entries of lists are compared by their place. */
export function diff(from: unknown, to: unknown, path = ''): Change[] {
  if (isContainer(from) && isContainer(to) && Array.isArray(from) === Array.isArray(to)) {
    const keys = new Set([...Object.keys(from), ...Object.keys(to)]);
    return [...keys].flatMap((key) => {
      const at = Array.isArray(from) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
      return diff(entry(from, key), entry(to, key), at);
    });
  }
  if (Object.is(from, to)) return [];
  return [{ path, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }];
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function entry(container: object, key: string): unknown {
  return Object.hasOwn(container, key) ? (container as Record<string, unknown>)[key] : undefined;
}
