/** The little cryptography the gateway needs, on Web Crypto. */

const encoder = new TextEncoder();

export async function sha256(text: string | Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const bytes = typeof text === 'string' ? encoder.encode(text) : text;
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

export async function hmacSha256(secret: string, text: string): Promise<Uint8Array> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', encoder.encode(secret), algorithm, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(text)));
}

/** Equality of two digests in a time that depends on their length alone. */
export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
}

const DIGITS = encoder.encode('0123456789abcdef');
const decoder = new TextDecoder();

export function hex(bytes: Uint8Array): string {
  // In one piece: a string that is put together digit by digit costs ten times its size.
  const digits = new Uint8Array(2 * bytes.length);
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    digits[2 * at] = DIGITS[byte >> 4] as number;
    digits[2 * at + 1] = DIGITS[byte & 15] as number;
  }
  return decoder.decode(digits);
}

/** Random bytes as hex. */
export function randomHex(bytes: number): string {
  return hex(crypto.getRandomValues(new Uint8Array(bytes)));
}

const POOL_BYTES = 2048;

/** The same for who needs a few with each request: the runtime is asked for many at a time, and none is given out twice. */
export function pooledRandomHex(): (bytes: number) => string {
  let pool = '';
  let at = 0;
  return (bytes) => {
    if (at + 2 * bytes > pool.length) {
      pool = randomHex(Math.max(bytes, POOL_BYTES));
      at = 0;
    }
    at += 2 * bytes;
    return pool.slice(at - 2 * bytes, at);
  };
}

/** Random bytes as base64url. */
export function randomToken(bytes: number): string {
  const binary = String.fromCharCode(...crypto.getRandomValues(new Uint8Array(bytes)));
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
