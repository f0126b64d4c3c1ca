/** What a pure function made of its latest arguments, kept so that the hot path works nothing out twice. */

/** @param limit of results kept; beyond it all are forgotten. What throws is not kept */
export function memo<K, T extends NonNullable<unknown>>(limit: number, make: (of: K) => T): (of: K) => T {
  const known = new Map<K, T>();
  return (of) => {
    const held = known.get(of);
    if (held !== undefined) return held;
    const made = make(of);
    if (known.size >= limit) known.clear();
    known.set(of, made);
    return made;
  };
}
