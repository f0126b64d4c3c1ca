/**
 * How many requests of one connection may be without their answer. HTTP/1.1 lets a client send them one behind the other, and a
 * read of the line brings thousands of short ones: answers to all of them would fill the memory before the first is fetched.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Unanswered } from './unanswered.ts';

/** More than any client that means well sends ahead. */
export const MOST_AHEAD = 32;

/** `last`: to be refused, and the connection ended with that. `none`: what came behind it, never to be answered. */
export type Place = 'taken' | 'last' | 'none';

export function pipelineLimit(
  unanswered: Unanswered,
): (request: IncomingMessage, response: ServerResponse) => Place {
  /** Connections that end: nothing behind what was refused is taken, though there is room again. */
  const ending = new WeakSet<Socket>();
  return (request, response) => {
    const { socket } = request;
    const ahead = unanswered.add(request, response);
    if (ahead <= MOST_AHEAD && !ending.has(socket)) return 'taken';
    if (ending.has(socket)) return 'none';
    ending.add(socket);
    return 'last';
  };
}
