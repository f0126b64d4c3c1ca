/** Requests without an answer, by connection: HTTP/1.1 lets a client send several before it has the first answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Unanswered {
  /** Counts a request until its response is closed. @returns how many its connection has with it */
  add(request: IncomingMessage, response: ServerResponse): number;
  /** Their responses, in the order in which they came. */
  of(socket: Duplex): readonly ServerResponse[];
}

export function unansweredRequests(): Unanswered {
  // Arrays, which take no memory as few come and go: a Map that lives as long as a connection is made anew every few requests.
  const byConnection = new WeakMap<Duplex, ServerResponse[]>();
  return {
    add({ socket }, response) {
      const known = byConnection.get(socket);
      const responses = known ?? [];
      if (known === undefined) byConnection.set(socket, responses);
      responses.push(response);
      response.on('close', () => responses.splice(responses.indexOf(response), 1));
      return responses.length;
    },
    of: (socket) => [...(byConnection.get(socket) ?? [])],
  };
}
