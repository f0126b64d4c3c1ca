/**
 * A process that holds connections open and says nothing on them: of its own, so that neither side needs more than one open file
 * a connection. Tells its parent `open` with their number once all stand, and again whenever it is asked; ends with it.
 */
import { createConnection, type Socket } from 'node:net';

const [port = 0, count = 0] = process.argv.slice(2).map(Number);
/** Fewer than servers let wait to be accepted. */
const AT_ONCE = 200;

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: '127.0.0.1' }, () => resolve(socket));
    socket.on('error', reject);
  });
}

const sockets: Socket[] = [];
while (sockets.length < count) {
  const next = Math.min(AT_ONCE, count - sockets.length);
  sockets.push(...(await Promise.all(Array.from({ length: next }, open))));
}
const tell = () => process.send?.({ open: sockets.filter((socket) => !socket.closed).length });
process.on('message', tell);
process.on('disconnect', () => process.exit(0));
tell();
