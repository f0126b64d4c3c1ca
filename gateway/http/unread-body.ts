/**
 * What is left of a body when the answer is known without it. A client that still sends when the connection is closed may
 * lose the answer to the reset, so the rest is taken in and thrown away, as far as that is worth it. The answer goes before it.
 *
 *   client   head ─ body ── body ─ body ...
 *   answer              all of it ────────── its end lets go of the connection
 */
import type { Background } from '../state/cell.ts';

/** Beyond these the connection is closed, whatever the client makes of it. */
const MOST_BYTES = 16 * 2 ** 20;
const MOST_MS = 5000;

/** The same answer, told at once, whose end waits for the rest of the request's body. */
export async function beforeRest(
  answer: Response,
  body: ReadableStream<Uint8Array> | null,
  background: Background,
): Promise<Response> {
  if (body === null || body.locked || answer.body === null) return answer;
  let ended = false;
  const rest = discardRest(body).then(() => {
    ended = true;
  });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  // Mostly all of it has come by then.
  if (ended) return new Response(bytes, answer);
  const { readable, writable } = new FixedLengthStream(bytes.length);
  const tell = async () => {
    const writer = writable.getWriter();
    await writer.write(bytes);
    await rest;
    await writer.close();
  };
  // Where the client is gone there is nobody to tell.
  background.waitUntil(tell().catch(() => {}));
  return new Response(readable, answer);
}

/** Ends with the body, at a bound, or when the sender is gone; never throws. Does nothing where somebody else reads it. */
export async function discardRest(body: ReadableStream<Uint8Array> | null, mostMs = MOST_MS): Promise<void> {
  if (body === null || body.locked) return;
  const reader = body.getReader();
  const stop = setTimeout(() => void reader.cancel().catch(() => {}), mostMs);
  try {
    for (let left = MOST_BYTES; left > 0; ) {
      const { done, value } = await reader.read();
      if (done) return;
      left -= value.length;
    }
    await reader.cancel();
  } catch {
    // The sender is gone, and with it whoever could have read the answer.
  } finally {
    clearTimeout(stop);
  }
}
