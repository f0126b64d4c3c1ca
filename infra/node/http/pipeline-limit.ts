/**
 * Requests that come one behind the other on a connection, ahead of their answers, as HTTP/1.1 lets clients send them. A few are
 * worked on at a time, the others wait, and nothing else is read of their line meanwhile: one read brings thousands of short ones,
 * and answers to all of them would fill the memory before the first is fetched.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Of a connection: more than any client that means well sends ahead. */
export const MOST_AT_ONCE = 32;

/** Of all connections. A read of the shortest ones brings two and a half thousand. */
const MOST_WAITING = 4096;

/**
 * `taken`: it has begun, or begins in its turn. `last`: to be refused, and the connection ended with that. `none`: what came behind it,
 * never to be answered.
 */
export type Place = 'taken' | 'last' | 'none';

interface Waiting {
  readonly response: ServerResponse;
  readonly begin: () => void;
}

interface Line {
  readonly socket: Socket;
  /** Requests that have begun and have no answer yet. */
  begun: number;
  readonly waiting: Waiting[];
  /** Whether one was refused: nothing behind that is taken, though there is room again. */
  isEnding: boolean;
}

/** @returns calls `begin` at once, or when enough of those before it have their answers; never where the client goes away first */
export function pipelineLimit(
  mostWaiting = MOST_WAITING,
): (request: IncomingMessage, response: ServerResponse, begin: () => void) => Place {
  const lines = new WeakMap<Socket, Line>();
  let allWaiting = 0;

  const open = (socket: Socket): Line => {
    const line: Line = { socket, begun: 0, waiting: [], isEnding: false };
    lines.set(socket, line);
    socket.once('close', () => {
      allWaiting -= line.waiting.length;
      line.waiting.length = 0;
    });
    // Whatever else reads of it, as bodies do, goes on when nobody waits.
    socket.on('resume', () => {
      if (line.waiting.length > 0) socket.pause();
    });
    return line;
  };

  const start = (line: Line, { response, begin }: Waiting) => {
    line.begun++;
    response.once('close', () => {
      line.begun--;
      goOn(line);
    });
    begin();
  };

  const goOn = (line: Line) => {
    const { socket, waiting } = line;
    if (waiting.length === 0) return;
    while (line.begun < MOST_AT_ONCE && socket.writable) {
      const next = waiting.shift();
      if (next === undefined) break;
      allWaiting--;
      start(line, next);
    }
    if (waiting.length === 0) socket.resume();
  };

  return ({ socket }, response, begin) => {
    const line = lines.get(socket) ?? open(socket);
    if (line.isEnding) return 'none';
    if (line.begun < MOST_AT_ONCE && line.waiting.length === 0) {
      start(line, { response, begin });
      return 'taken';
    }
    if (allWaiting >= mostWaiting) {
      line.isEnding = true;
      return 'last';
    }
    allWaiting++;
    line.waiting.push({ response, begin });
    socket.pause();
    return 'taken';
  };
}
