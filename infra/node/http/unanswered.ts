/** Requests without an answer, by connection: HTTP/1.1 lets a client send several before it has the first answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { SppError } from '../../../schema/errors.ts';
import type { InFlight } from '../in-flight.ts';

export interface Unanswered {
  /** Counts a request until its response is closed. */
  add(request: IncomingMessage, response: ServerResponse): void;
  /** Their responses, in the order in which they came. */
  of(socket: Duplex): readonly ServerResponse[];
  /** Whether the body of a request that has had its answer is still coming. */
  isBehindAnswer(socket: Duplex): boolean;
  /** To be called when the rest of a request will not come, though its client has not left. */
  breakOff(request: IncomingMessage, fault: SppError): void;
  /** Why the rest of a request did not come; undefined where its client left, or it is whole. */
  brokenBy(request: IncomingMessage): SppError | undefined;
}

/** @param all counts those of all connections */
export function unansweredRequests(all: Pick<InFlight, 'add'>): Unanswered {
  // Arrays, which take no memory as few come and go: a Map that lives as long as a connection is made anew every few requests.
  const byConnection = new WeakMap<Duplex, ServerResponse[]>();
  /** Their latest request of which something was still to come when it had been answered. */
  const answeredEarly = new WeakMap<Duplex, IncomingMessage>();
  const faults = new WeakMap<IncomingMessage, SppError>();
  const opened = (socket: Duplex): ServerResponse[] => {
    const responses: ServerResponse[] = [];
    byConnection.set(socket, responses);
    // A response whose turn never came is not closed with its connection.
    socket.once('close', () => all.add(-responses.splice(0).length));
    return responses;
  };
  return {
    add(request, response) {
      const { socket } = request;
      const responses = byConnection.get(socket) ?? opened(socket);
      responses.push(response);
      all.add(1);
      response.on('close', () => {
        const at = responses.indexOf(response);
        if (at < 0) return;
        responses.splice(at, 1);
        all.add(-1);
        if (!request.complete) answeredEarly.set(socket, request);
      });
    },
    of: (socket) => [...(byConnection.get(socket) ?? [])],
    isBehindAnswer: (socket) => answeredEarly.get(socket)?.complete === false,
    breakOff: (request, fault) => void faults.set(request, fault),
    brokenBy: (request) => faults.get(request),
  };
}
