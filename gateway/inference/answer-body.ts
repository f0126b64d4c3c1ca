/**
 * The body of a node's answer. What is small is read whole before the client hears of it, so that another node can stand
 * in for one that breaks off and a deadline can still be told; what is large is handed on as it comes. That is done only
 * where its length is known: the runtime ends any other stream that breaks off as if all of it had come.
 */
import { continued } from '../http/continued-stream.ts';
import { joined } from '../http/read-body.ts';

export type AnswerBody =
  | { readonly kind: 'whole'; readonly bytes: ArrayBuffer | Uint8Array }
  /** `stop` breaks off what has not arrived yet. */
  | { readonly kind: 'stream'; readonly stream: ReadableStream; stop(): void };

export const WHOLE_BYTES = 256 * 1024;
/** Nodes tell the length of what they answer; what compresses answers on the way does not. So much of these is held. */
const HELD_BYTES = 8 * 2 ** 20;

/**
 * An answer that is larger than `WHOLE_BYTES`, or does not say.
 * @param length as it announces, which is that of what was sent: of a compressed one it says nothing; NaN without
 * @returns undefined for one of unknown length over `HELD_BYTES`
 * @throws when it breaks off, or is aborted, before it was whole or began to stream
 */
export async function readLarge(
  { body, headers }: Response,
  length: number,
): Promise<AnswerBody | undefined> {
  if (body === null) return { kind: 'whole', bytes: new Uint8Array(0) };
  if (length > WHOLE_BYTES && !headers.has('content-encoding')) return handedOn(body, length);
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let total = 0;
  while (total <= HELD_BYTES) {
    const { done, value } = await reader.read();
    if (done) return { kind: 'whole', bytes: joined(chunks, total) };
    chunks.push(value);
    total += value.length;
  }
  reader.cancel().catch(() => {});
  return undefined;
}

function handedOn(body: ReadableStream<Uint8Array>, length: number): AnswerBody {
  const stopped = new AbortController();
  return {
    kind: 'stream',
    stream: continued([], body, new FixedLengthStream(length), stopped.signal),
    stop: () => stopped.abort(),
  };
}
