/** What a connection does wrong before there is a request: answered as problems too, where the line still takes an answer. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { problemDocument, SppError } from '../../../schema/errors.ts';

export function answerConnectionFaults(server: Server, log: Logger): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return socket.destroy();
    const fault = faultOf(error);
    log.info({ reason: fault.message }, 'connection refused');
    const body = JSON.stringify(problemDocument(fault));
    const lines = [
      `HTTP/1.1 ${fault.status} ${REASONS[fault.status] ?? 'Bad Request'}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
    ];
    socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
  });
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

function faultOf({ code }: NodeJS.ErrnoException): SppError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new SppError('request-timeout', 'The request was not whole in the time that it may take.', {
      hint: 'Send it faster, or a smaller batch.',
    });
  if (code === 'HPE_HEADER_OVERFLOW')
    return new SppError('headers-too-large', 'The request headers are over 16 KiB.', {
      hint: 'Send fewer or shorter headers.',
    });
  return new SppError('bad-request', 'What came is not an HTTP/1.1 request.', {
    hint: 'The interface is the Open Inference Protocol over HTTP/1.1.',
  });
}
