/** Checksums of what a zip file holds, as its central directory states them (APPNOTE.TXT, 4.3.12): CRC-32 by file name. */

const ENTRY = Buffer.from('PK\x01\x02', 'latin1');
/** Of an entry before its name; where its fields lie. */
const FIXED_BYTES = 46;
const SUM_AT = 16;
const LENGTHS_AT = 28;

/** @param tail the end of the file; entries that begin before it are not known */
export function zipSums(tail: Buffer): Map<string, number> {
  const sums = new Map<string, number>();
  for (let at = tail.indexOf(ENTRY); at >= 0 && at + FIXED_BYTES <= tail.length; ) {
    const [name = 0, extra = 0, comment = 0] = [0, 2, 4].map((offset) =>
      tail.readUInt16LE(at + LENGTHS_AT + offset),
    );
    const from = at + FIXED_BYTES;
    sums.set(tail.toString('utf8', from, from + name), tail.readUInt32LE(at + SUM_AT));
    at = tail.indexOf(ENTRY, from + name + extra + comment);
  }
  return sums;
}
