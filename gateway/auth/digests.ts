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

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte];
  return text;
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
