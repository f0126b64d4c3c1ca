/** A single byte range of a `Range` header (RFC 9110, 14.1.2). */
import { SppError } from '../../schema/errors.ts';

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

const RANGE = /^bytes=(?<first>\d{0,15})-(?<last>\d{0,15})$/;

/**
 * @returns undefined for no header and for one that a server may ignore: another unit, several ranges, malformed
 * @throws `range-not-satisfiable`, with the size, when the range begins beyond the end
 */
export function parseRange(header: string | null, sizeBytes: number): ByteRange | undefined {
  const { first = '', last = '' } = RANGE.exec(header?.trim() ?? '')?.groups ?? {};
  if (first === '' && last === '') return undefined;
  const suffix = first === '';
  const from = suffix ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const to = suffix || last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (!suffix && last !== '' && Number(last) < Number(first)) return undefined;
  if (from >= sizeBytes || to < from)
    throw new SppError(
      'range-not-satisfiable',
      `The range ${header} lies outside of the file's ${sizeBytes} bytes.`,
      {
        hint: 'Ask for bytes of the file, or for all of it without Range.',
        headers: { 'content-range': `bytes */${sizeBytes}` },
        details: { sizeBytes },
      },
    );
  return { offset: from, length: to - from + 1 };
}
