/** Aligned text tables for people: numbers to the right, words to the left. */
export function textTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const columns = header.map((name, column) => {
    const cells = rows.map((row) => row[column] ?? '');
    const width = Math.max(name.length, ...cells.map((cell) => cell.length));
    const numeric = cells.length > 0 && cells.every((cell) => /^[-+]?\d/.test(cell) || cell === '-');
    return numeric && column > 0
      ? (cell: string) => cell.padStart(width)
      : (cell: string) => cell.padEnd(width);
  });
  return [header, ...rows]
    .map((row) =>
      columns
        .map((align, c) => align(row[c] ?? ''))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
