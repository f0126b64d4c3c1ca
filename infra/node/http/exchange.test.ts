import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connect } from '../../../scripts/bench-node/http-exchange.ts';
import { disposables } from '../../../test/support/node-client.ts';
import { bodyRoom } from './body-room.ts';
import { type Exchange, exchangeOf, send } from './exchange.ts';

const scope = disposables();
afterEach(() => scope.dispose());

async function serverOf(handle: (exchange: Exchange) => Promise<string>): Promise<number> {
  const listener: RequestListener = async (request, response) => {
    const body = await handle(exchangeOf(request, response, bodyRoom(100_000))).catch(String);
    send(response, { status: 200, headers: {}, body });
  };
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onDispose(async () => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

describe('a body', () => {
  test.each([0, 1, 8, 113, 120])(
    'lies so that what begins at byte %i can be seen as elements of 8 bytes',
    async (at) => {
      const port = await serverOf(async (exchange) => {
        const body = await exchange.body(1000, at);
        return `${(body.byteOffset + at) % 8} ${Buffer.from(body).toString()}`;
      });
      const text = 'x'.repeat(at + 16);
      const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: text });
      expect(await response.text()).toBe(`0 ${text}`);
    },
  );

  test('is whole, in the order in which it came, however it was cut', async () => {
    const port = await serverOf(async (exchange) => Buffer.from(await exchange.body(1000, 3)).toString());
    const socket = await connect(port);
    const answered = once(socket, 'data');
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc');
    setTimeout(() => socket.write('defg'), 30);
    setTimeout(() => socket.write('hi'), 60);
    expect(String(await answered)).toMatch(/\r\n\r\nabcdefghi$/);
    socket.destroy();
  });

  test('that nobody wants any more when it is asked for is given up, without a word on the console', async () => {
    const warned = vi.spyOn(process, 'emitWarning');
    scope.onDispose(async () => warned.mockRestore());
    const port = await serverOf(async (exchange) =>
      exchange.body(1000, 0, performance.now() - 5).then(() => 'whole', String),
    );
    const socket = await connect(port);
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc');
    expect(String(await once(socket, 'data'))).toMatch(/latency budget ran out while the body was coming/);
    expect(warned).not.toHaveBeenCalled();
    socket.destroy();
  });

  test('that its sender does not finish is given up, and that is known', async () => {
    const seen = Promise.withResolvers<{ reason: string; aborted: boolean }>();
    const port = await serverOf(async (exchange) => {
      const reason = await exchange.body(1000).then(() => 'whole', String);
      seen.resolve({ reason, aborted: exchange.signal.aborted });
      return '';
    });
    const socket = await connect(port);
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf');
    setTimeout(() => socket.destroy(), 50);
    expect(await seen.promise).toEqual({ reason: 'Error: the client went away', aborted: true });
  });
});
