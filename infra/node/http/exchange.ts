/** One HTTP request and its answer, as routes see them: nothing between them and node's own server, which costs the least. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { problemParts, SppError } from '../../../schema/errors.ts';
import type { BodyRoom } from './body-room.ts';

export interface Exchange {
  readonly method: string;
  /** Without the query, as it was sent. */
  readonly path: string;
  /** When it came, on the clock of `performance.now()`. */
  readonly arrivedMs: number;
  /** Aborts when the client goes away before it has its answer. */
  readonly signal: AbortSignal;
  /** Whether the client holds its body back until it is told that it will be read (`Expect: 100-continue`), which `body` does. */
  readonly holdsBody: boolean;
  /** @param name in small letters */
  header(name: string): string | undefined;
  /**
   * The whole body, once.
   * @param alignAt the offset of the byte that is to lie at a multiple of 8 in memory, as elements of any width can be seen there
   * @param deadlineMs when nobody wants it any more, on the clock of `performance.now()`
   * @throws `body-too-large`; `budget-overrun` at the deadline; what `hold` throws; the signal's reason when the client goes away
   */
  body(maxBytes: number, alignAt?: number, deadlineMs?: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Counts memory that the request takes until it is answered, besides what `body` has counted; see `BodyRoom`. */
  hold(bytes: number): void;
  /** To be called when it has been answered. */
  letGo(): void;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export function jsonAnswer(value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status: 200,
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(value),
  };
}

export function problemAnswer(error: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  const { status, headers: own, body } = problemParts(error);
  return { status, headers: { ...headers, ...own }, body };
}

/**
 * @param room for its body, beside those of others
 * @param arrivedMs when it came; now unless told
 */
export function exchangeOf(
  request: IncomingMessage,
  response: ServerResponse,
  room: BodyRoom,
  arrivedMs = performance.now(),
): Exchange {
  return new HttpExchange(request, response, room, arrivedMs);
}

/** A class, as each request makes one: its methods are made once. */
class HttpExchange implements Exchange {
  readonly arrivedMs: number;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #room: BodyRoom;
  readonly #gone = new AbortController();
  #holdsBody: boolean;
  #held = 0;
  /** While the body is being read. */
  #giveUpBody: ((error: unknown) => void) | undefined;

  constructor(request: IncomingMessage, response: ServerResponse, room: BodyRoom, arrivedMs: number) {
    this.arrivedMs = arrivedMs;
    this.#request = request;
    this.#response = response;
    this.#room = room;
    // Other expectations are refused before there is an exchange.
    this.#holdsBody = request.headers.expect !== undefined && request.httpVersion === '1.1';
    const leave = () => this.#leave();
    request.on('error', leave);
    response.on('error', leave);
    response.on('close', () => {
      if (!response.writableFinished) leave();
    });
  }

  get method(): string {
    return this.#request.method ?? 'GET';
  }

  get path(): string {
    return pathOf(this.#request.url ?? '/');
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get holdsBody(): boolean {
    return this.#holdsBody;
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  async body(maxBytes: number, alignAt = 0, deadlineMs?: number): Promise<Uint8Array<ArrayBuffer>> {
    const length = Number(this.#request.headers['content-length'] ?? 0);
    if (length > maxBytes) throw tooLarge(maxBytes);
    if (this.#holdsBody) this.#response.writeContinue();
    this.#holdsBody = false;
    const timer =
      deadlineMs === undefined
        ? undefined
        : setTimeout(() => this.#giveUpBody?.(tooSlow()), Math.max(0, deadlineMs - performance.now()));
    const chunks = await this.#chunks(maxBytes).finally(() => clearTimeout(timer));
    // Here and not on `end`: what fails in an event's listener, as for want of memory, ends the process.
    return joined(chunks, alignAt);
  }

  hold(bytes: number): void {
    this.#room.take(bytes, this.#held);
    this.#held += bytes;
  }

  letGo(): void {
    this.hold(-this.#held);
  }

  #leave(): void {
    const { signal } = this.#gone;
    if (!signal.aborted) this.#gone.abort(new Error('the client went away'));
    this.#giveUpBody?.(signal.reason);
  }

  #chunks(maxBytes: number): Promise<Uint8Array<ArrayBuffer>[]> {
    const request = this.#request;
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let total = 0;
    return new Promise((resolve, reject) => {
      const giveUp = (error: unknown) => {
        request.off('data', onData).off('end', onEnd);
        this.#giveUpBody = undefined;
        reject(error);
      };
      const onData = (chunk: Uint8Array<ArrayBuffer>) => {
        total += chunk.length;
        // The rest is read and let go once the answer is out, so that no reset takes the answer away.
        if (total > maxBytes) return giveUp(tooLarge(maxBytes));
        try {
          this.hold(chunk.length);
        } catch (error) {
          return giveUp(error);
        }
        chunks.push(chunk);
      };
      const onEnd = () => {
        this.#giveUpBody = undefined;
        resolve(chunks);
      };
      this.#giveUpBody = giveUp;
      if (this.#gone.signal.aborted) return giveUp(this.#gone.signal.reason);
      request.on('data', onData).on('end', onEnd);
    });
  }
}

/** Sends an answer; nothing where nobody is there to take it. */
export function send(response: ServerResponse, { status, headers, body }: Answer): void {
  if (response.destroyed || response.writableEnded) return;
  response.writeHead(status, {
    ...headers,
    'content-length': typeof body === 'string' ? Buffer.byteLength(body) : body.length,
  });
  response.end(body);
}

/** Proxies send the whole address, clients the path. */
function pathOf(target: string): string {
  const local = target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?#]*/i, '');
  const end = local.search(/[?#]/);
  return end < 0 ? local : local.slice(0, end);
}

export function tooLarge(maxBytes: number): SppError {
  return new SppError('body-too-large', `The body is over the limit of ${maxBytes} bytes.`, {
    hint: 'Send a smaller batch, or start the node with a larger --max-body-bytes.',
    details: { maxBodyBytes: maxBytes },
  });
}

function tooSlow(): SppError {
  return new SppError('budget-overrun', 'The latency budget ran out while the body was coming.', {
    hint: 'Send it faster, or allow more time.',
  });
}

/** In memory of its own: what comes from the line may lie in buffers that hold other things too. */
function joined(chunks: readonly Uint8Array<ArrayBuffer>[], alignAt: number): Uint8Array<ArrayBuffer> {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined && isAlone(first, alignAt)) return viewOf(first);
  const shift = (8 - (alignAt % 8)) % 8;
  const total = chunks.reduce((sum, { length }) => sum + length, 0);
  // Not cleared, as all of it but the shift is written.
  const whole = viewOf(Buffer.allocUnsafeSlow(shift + total)).subarray(shift);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

/** Whether a chunk has its memory to itself, and in it the byte at `alignAt` where elements can be seen. */
function isAlone({ buffer, byteOffset, length }: Uint8Array, alignAt: number): boolean {
  return buffer.byteLength === length && (byteOffset + alignAt) % 8 === 0;
}

/** Not a Buffer, whose `slice` is no copy. */
function viewOf({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, length);
}
