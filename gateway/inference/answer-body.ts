/**
 * The body of a node's answer. What is small is read whole before the client hears of it, so that another node can stand
 * in for one that breaks off and a deadline can still be told; what is large is handed on as it comes.
 */
import { continued } from '../http/continued-stream.ts';

export type AnswerBody =
  | { readonly kind: 'whole'; readonly bytes: ArrayBuffer | Uint8Array }
  /** `stop` breaks off what has not arrived yet. */
  | { readonly kind: 'stream'; readonly stream: ReadableStream; stop(): void };

export const WHOLE_BYTES = 256 * 1024;

/**
 * An answer that is larger than `WHOLE_BYTES`, or does not say.
 * @param length as it announces; NaN without
 * @throws when it breaks off, or is aborted, before it was whole or began to stream
 */
export async function readLarge({ body }: Response, length: number): Promise<AnswerBody> {
  if (body === null) return { kind: 'whole', bytes: new Uint8Array(0) };
  if (length > WHOLE_BYTES) return handedOn([], body, new FixedLengthStream(length));
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let total = 0;
  while (total <= WHOLE_BYTES) {
    const { done, value } = await reader.read();
    if (done) return { kind: 'whole', bytes: joined(chunks, total) };
    chunks.push(value);
    total += value.length;
  }
  reader.releaseLock();
  return handedOn(chunks, body, new IdentityTransformStream());
}

function handedOn(
  read: readonly Uint8Array[],
  rest: ReadableStream<Uint8Array>,
  through: IdentityTransformStream,
): AnswerBody {
  const stopped = new AbortController();
  return {
    kind: 'stream',
    stream: continued(read, rest, through, stopped.signal),
    stop: () => stopped.abort(),
  };
}

function joined(chunks: readonly Uint8Array[], total: number): Uint8Array {
  const bytes = new Uint8Array(total);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}
