/** Bodies that were compressed on their way (`Content-Encoding`), as clients of the protocol offer to do. */
import { Gunzip, Unzlib } from 'fflate';
import type { Coding } from '../../schema/content-coding.ts';
import { SppError } from '../../schema/errors.ts';
import { tooLarge } from './read-body.ts';

/** A byte of deflate's becomes 1032 at most: so much is decoded in one go, for what a MiB takes. */
const PIECE_BYTES = 1024;
/** A block that is stored as it is has 64 KiB at most: whoever sends more of which nothing comes sends no data, but, say, an endless name. */
const BARREN_BYTES = 128 * 1024;
/** After so much has come out, or gone in, others have their turn: clients, and the end of this one's budget. */
const TURN = { out: 256 * 1024, in: 32 * 1024 };
/** A gzip body may be several, one behind the other, as of who compresses part by part. Each costs the runtime a stream. */
const MOST_MEMBERS = 1024;

/** @throws `body-too-large` soon after that many bytes have come out; `bad-request` where it is not what it says */
export async function decoded(
  bytes: Uint8Array<ArrayBuffer>,
  coding: Coding,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const starts = await requireFits(bytes, coding, maxBytes);
    const parts: Blob[] = [];
    for (const [at, start] of starts.entries()) {
      const member = new Blob([bytes.subarray(start, starts[at + 1])]);
      parts.push(await new Response(member.stream().pipeThrough(new DecompressionStream(coding))).blob());
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  } catch (cause) {
    if (cause instanceof SppError) throw cause;
    throw new SppError('bad-request', `The body cannot be decoded as ${coding}.`, {
      hint: 'Send it as Content-Encoding says, or uncompressed and without that header.',
      cause,
    });
  }
}

/**
 * The runtime's own stream decodes all that it is given without waiting for whoever reads: a MiB that hides a GiB would take the memory
 * for it, and everybody's time. So it is asked only once it is known what comes out; the checksum is left to it. It takes one member at
 * a time.
 * @returns where members begin
 * @throws `body-too-large`, or what the decoder throws
 */
async function requireFits(bytes: Uint8Array, coding: Coding, maxBytes: number): Promise<readonly number[]> {
  const starts = [0];
  let total = 0;
  let turn = { out: 0, in: 0 };
  let bareSince = 0;
  const count = (chunk: Uint8Array) => {
    total += chunk.length;
  };
  const decoder = coding === 'gzip' ? gunzip(count, starts) : new Unzlib(count);
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const end = at + PIECE_BYTES;
    const before = total;
    decoder.push(bytes.subarray(at, end), end >= bytes.length);
    if (total > before) bareSince = end;
    // The decoder begins anew with each piece until there is something.
    if (end - bareSince > BARREN_BYTES) throw new Error('nothing comes out of it');
    if (total > maxBytes) throw tooLarge(maxBytes);
    if (total - turn.out < TURN.out && end - turn.in < TURN.in) continue;
    turn = { out: total, in: end };
    await new Promise((done) => setTimeout(done));
  }
  return starts;
}

/** @param starts gets where each member but the first begins */
function gunzip(count: (chunk: Uint8Array) => void, starts: number[]): Gunzip {
  const decoder = new Gunzip(count);
  decoder.onmember = (start) => {
    if (starts.length >= MOST_MEMBERS) throw new Error('too many members');
    starts.push(start);
  };
  return decoder;
}
