/** Numbers as people read them. */

export function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** Four digits of it that count. */
export function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** In the reader's own time: `2026-11-30 16:20:07`. */
export function dateText(ms: number): string {
  return new Date(ms).toLocaleString('sv-SE');
}
