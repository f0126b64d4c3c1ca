/** What a connection does wrong before there is a request: answered as problems too, where the line still takes an answer. */
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { problemDocument, SppError } from '../../../schema/errors.ts';
import { problemAnswer, send } from './exchange.ts';
import type { Unanswered } from './unanswered.ts';

/** That a client has to take what it was answered. */
const LINGER_MS = 1000;

/** @param unanswered what the server's requests are counted by */
export function answerConnectionFaults(server: Server, unanswered: Unanswered, log: Logger): void {
  /** Connections with a fault: what comes behind it is one more of the same. */
  const faulty = new WeakSet<Duplex>();
  /** What came whole before it is answered first: a client takes the first answer for that to its first request. */
  const refuseInTurn = (socket: Duplex, fault: SppError, hasLeft = false) => {
    if (faulty.has(socket)) return;
    faulty.add(socket);
    // What is wrong is the rest of a request that has its answer, which did not wait for that.
    if (unanswered.isBehindAnswer(socket)) return endSoon(socket);
    const responses = unanswered.of(socket);
    const partial = responses.find(({ req }) => !req.complete);
    if (partial?.headersSent) return partial.once('close', () => endSoon(socket));
    if (partial !== undefined && !hasLeft) unanswered.breakOff(partial.req, fault);
    const last = responses.findLast(({ req }) => req.complete);
    if (last === undefined) return refuse(socket, fault, log);
    last.once('close', () => refuse(socket, fault, log));
  };
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return socket.destroy();
    refuseInTurn(socket, faultOf(error), error.code === ENDED_EARLY);
  });
  server.on('connect', (_: IncomingMessage, socket: Duplex) => {
    // The server listens to none of these any more: a client that resets its connection would end the process.
    socket.on('error', () => {});
    const hint = 'The interface is the Open Inference Protocol; this is no proxy.';
    refuseInTurn(socket, new SppError('method-not-allowed', 'CONNECT is not taken here.', { hint }));
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const asked = JSON.stringify(request.headers.expect?.slice(0, 40));
    const fault = new SppError('bad-header', `Expect: ${asked} is not understood.`, {
      hint: 'Leave the header out, or send 100-continue.',
      details: { header: 'Expect' },
    });
    log.info({ reason: fault.message }, 'connection refused');
    unanswered.add(request, response);
    send(response, problemAnswer(fault, { connection: 'close' }));
  });
}

/** Where there is no response to write to. */
function refuse(socket: Duplex, fault: SppError, log: Logger): void {
  if (!socket.writable) return;
  log.info({ reason: fault.message }, 'connection refused');
  const body = JSON.stringify(problemDocument(fault));
  const lines = [
    `HTTP/1.1 ${fault.status} ${STATUS_CODES[fault.status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  endSoon(socket, `${lines.join('\r\n')}\r\n\r\n${body}`);
}

/** Whether the client ends its side or not: the server does not know all of these connections any more, and could not end itself. */
function endSoon(socket: Duplex, text = ''): void {
  socket.end(text);
  // Of one that asked for a tunnel nothing else is read, not even its end.
  socket.resume();
  const lingering = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(lingering));
}

/** What a client that leaves looks like, as one does that has ended its side too early and still reads. */
const ENDED_EARLY = 'HPE_INVALID_EOF_STATE';

function faultOf({ code }: NodeJS.ErrnoException): SppError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new SppError('request-timeout', 'The request was not whole in the time that it may take.', {
      hint: 'Send it faster, or a smaller batch.',
    });
  if (code === 'HPE_HEADER_OVERFLOW')
    return new SppError('headers-too-large', 'The request headers are over 16 KiB.', {
      hint: 'Send fewer or shorter headers.',
    });
  if (code === ENDED_EARLY)
    return new SppError('bad-request', 'The line ended before the request was whole.', {
      hint: 'Send as many bytes as Content-Length says, or the last chunk.',
    });
  return new SppError('bad-request', 'What came is not an HTTP/1.1 request.', {
    hint: 'The interface is the Open Inference Protocol over HTTP/1.1.',
  });
}
