/**
 * The hash by which onnxruntime knows packed weights (`PrePackedWeights::GetHash` of its 1.30), of the beginnings of a packed matrix:
 * MurmurHash3_x86_128 of Austin Appleby (public domain), seed 0, its first 64 bits without the lowest three.
 */

/**
 * @param bytes of a packed matrix, in little-endian order
 * @param lengths bytes of the beginnings, ascending, each a multiple of 16
 * @returns the hash of each
 */
export function prefixHashes(bytes: Uint8Array, lengths: readonly number[]): bigint[] {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  let [a, b, c, d] = [0, 0, 0, 0];
  let at = 0;
  return lengths.map((length) => {
    for (const end = length >> 2; at < end; at += 4) {
      a = fiveTimes(rotated(a ^ mixed(words[at] ?? 0, C1, 15, C2), 19) + b, 0x561ccd1b);
      b = fiveTimes(rotated(b ^ mixed(words[at + 1] ?? 0, C2, 16, C3), 17) + c, 0x0bcaa747);
      c = fiveTimes(rotated(c ^ mixed(words[at + 2] ?? 0, C3, 17, C4), 15) + d, 0x96cd1c35);
      d = fiveTimes(rotated(d ^ mixed(words[at + 3] ?? 0, C4, 18, C1), 13) + a, 0x32ac3b17);
    }
    return first64(a ^ length, b ^ length, c ^ length, d ^ length);
  });
}

const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;

const rotated = (x: number, by: number) => (x << by) | (x >>> (32 - by));
const mixed = (x: number, before: number, by: number, after: number) =>
  Math.imul(rotated(Math.imul(x, before), by), after);
const fiveTimes = (x: number, plus: number) => (Math.imul(x, 5) + plus) | 0;

function first64(a: number, b: number, c: number, d: number): bigint {
  const sum = (a + b + c + d) | 0;
  const [x, y, z, w] = [sum, (b + sum) | 0, (c + sum) | 0, (d + sum) | 0].map(final) as [
    number,
    number,
    number,
    number,
  ];
  const low = (x + y + z + w) | 0;
  return (BigInt((y + low) >>> 0) << 32n) | BigInt((low & ~7) >>> 0);
}

function final(x: number): number {
  const y = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  const z = Math.imul(y ^ (y >>> 13), 0xc2b2ae35);
  return z ^ (z >>> 16);
}
