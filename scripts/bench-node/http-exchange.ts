/** The least of HTTP/1.1 that finds an answer's end: plain sockets, so that a client takes little from the server's cores. */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';

export interface Exchanged {
  readonly status: number;
  /** Status line and headers. */
  readonly head: string;
}

const HEAD_END = Buffer.from('\r\n\r\n');

export async function connect(port: number): Promise<Socket> {
  const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  // Between exchanges nobody listens; the next one finds the socket closed.
  socket.on('error', () => {});
  return socket;
}

/** Sends a whole request and waits for the whole answer. One exchange at a time on a socket. */
export function exchange(socket: Socket, request: Uint8Array): Promise<Exchanged> {
  return new Promise((resolve, reject) => {
    if (socket.closed) return reject(new Error('the server closed a connection'));
    let received: Buffer = Buffer.alloc(0);
    let wanted = Number.POSITIVE_INFINITY;
    let head = '';
    const onData = (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const end = received.indexOf(HEAD_END);
      if (wanted === Number.POSITIVE_INFINITY && end >= 0) {
        head = received.toString('latin1', 0, end);
        const length = /^content-length: *(\d+)/im.exec(head)?.[1];
        if (length === undefined) return finish(new Error(`an answer has no Content-Length: ${head}`));
        wanted = end + HEAD_END.length + Number(length);
      }
      if (received.length >= wanted) finish();
    };
    const finish = (error?: Error) => {
      socket.off('data', onData).off('error', finish).off('close', onClose);
      if (error === undefined) resolve({ status: Number(head.slice(9, 12)), head });
      else reject(error);
    };
    const onClose = () => finish(new Error('the server closed a connection'));
    socket.on('data', onData).on('error', finish).on('close', onClose);
    socket.write(request);
  });
}
