/**
 * Clients that have ended their side of the line, and wait for their answers or have left: both look alike, until something is sent to
 * them. Who waits passes over an interim response (RFC 9110, section 15.2); the system of who has left refuses it.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Unanswered } from './unanswered.ts';

/** The refusal is noticed when something is sent the next time. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1000;

/** @param unanswered what the server's requests are counted by */
export function answerHalfClosed(server: Server, unanswered: Unanswered): void {
  // Not in the types; without it the server ends its own side, too, and with that the answers.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on('connection', (socket: Socket) => {
    socket.on('end', () => {
      const last = unanswered.of(socket).at(-1);
      if (last === undefined) return;
      // There will be no other request.
      last.shouldKeepAlive = false;
      ask(socket, unanswered);
    });
  });
}

/** Sends an interim response now and then, until a client has its answers or is known to have left. */
function ask(socket: Socket, unanswered: Unanswered): void {
  let pauseMs = FIRST_PAUSE_MS;
  let timer: NodeJS.Timeout | undefined;
  const once = () => {
    const [first] = unanswered.of(socket);
    if (first === undefined) return;
    if (isTooOld(first)) return void socket.destroy();
    // What of an answer has been sent, asks as well.
    if (!first.headersSent) first.writeContinue();
    timer = setTimeout(once, pauseMs);
    pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs);
  };
  socket.once('close', () => clearTimeout(timer));
  once();
}

/** Clients of HTTP/1.0 know no interim responses. */
function isTooOld({ req }: ServerResponse): boolean {
  return req.httpVersionMajor === 1 && req.httpVersionMinor === 0;
}
