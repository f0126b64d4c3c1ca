/** Requests without an answer, by connection: HTTP/1.1 lets a client send several before it has the first answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Unanswered {
  /** Counts a request until its response is closed. */
  add(request: IncomingMessage, response: ServerResponse): void;
  /** Their responses, in the order in which they came. */
  of(socket: Duplex): readonly ServerResponse[];
  /** Whether the body of a request that has had its answer is still coming. */
  isBehindAnswer(socket: Duplex): boolean;
}

export function unansweredRequests(): Unanswered {
  // Arrays, which take no memory as few come and go: a Map that lives as long as a connection is made anew every few requests.
  const byConnection = new WeakMap<Duplex, ServerResponse[]>();
  /** Their latest request of which something was still to come when it had been answered. */
  const answeredEarly = new WeakMap<Duplex, IncomingMessage>();
  return {
    add(request, response) {
      const { socket } = request;
      const known = byConnection.get(socket);
      const responses = known ?? [];
      if (known === undefined) byConnection.set(socket, responses);
      responses.push(response);
      response.on('close', () => {
        responses.splice(responses.indexOf(response), 1);
        if (!request.complete) answeredEarly.set(socket, request);
      });
    },
    of: (socket) => [...(byConnection.get(socket) ?? [])],
    isBehindAnswer: (socket) => answeredEarly.get(socket)?.complete === false,
  };
}
