/** Keeps the number of series bounded: the first so many sets of label values are kept, of all later ones `other` is told. */

export const OTHER = 'other';

/** @returns the values themselves, or `other` for each */
export function boundedLabels(limit: number): (values: readonly string[]) => readonly string[] {
  const known = new Set<string>();
  return (values) => {
    const key = values.join('\0');
    if (known.has(key)) return values;
    if (known.size >= limit) return values.map(() => OTHER);
    known.add(key);
    return values;
  };
}
