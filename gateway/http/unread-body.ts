/**
 * What is left of a body when the answer is known without it. A client that still sends when the connection is closed may
 * lose the answer to the reset, so the rest is taken in and thrown away before, as far as that is worth it.
 */

/** Beyond these the connection is closed, whatever the client makes of it. */
const MOST_BYTES = 16 * 2 ** 20;
const MOST_MS = 500;

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
