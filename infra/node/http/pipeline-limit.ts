/**
 * How many requests of one connection may be without their answer. HTTP/1.1 lets a client send them one behind the other, and a
 * read of the line brings thousands of short ones: answers to all of them would fill the memory before the first is fetched.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** More than any client that means well sends ahead. */
export const MOST_AHEAD = 32;

/** `last`: to be refused, and the connection ended with that. `none`: what came behind it, never to be answered. */
export type Place = 'taken' | 'last' | 'none';

export function pipelineLimit(): (request: IncomingMessage, response: ServerResponse) => Place {
  const unanswered = new WeakMap<Socket, number>();
  return ({ socket }, response) => {
    const count = (unanswered.get(socket) ?? 0) + 1;
    unanswered.set(socket, count);
    if (count > MOST_AHEAD + 1) return 'none';
    // What was refused stays counted, so that nothing behind it is taken any more.
    if (count > MOST_AHEAD) return 'last';
    response.once('close', () => {
      const now = unanswered.get(socket) ?? 0;
      if (now <= MOST_AHEAD) unanswered.set(socket, now - 1);
    });
    return 'taken';
  };
}
