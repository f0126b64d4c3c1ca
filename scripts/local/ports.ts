/** Ports on the loopback address. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { SppError } from '../../schema/errors.ts';

/** @throws `usage` naming the option that chooses another port, when this one is taken */
export async function requireFreePort(port: number, option: string): Promise<void> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch (cause) {
    throw new SppError(
      'usage',
      `Port ${port} on 127.0.0.1 cannot be used; another program may listen there.`,
      {
        hint: `Stop it, or choose another with ${option}.`,
        cause,
      },
    );
  } finally {
    server.close();
  }
}

/**
 * A free one below those that outgoing connections are given, for a server that ends and comes back there: to a port of
 * theirs that nobody listens on, a connection may come out as one to itself. Looked for from a drawn one on, so that
 * processes which look at once do not find the same.
 */
export async function lastingPort(): Promise<number> {
  const drawn = Math.floor(Math.random() * LASTING.count);
  for (let i = 0; i < LASTING.count; i++) {
    const port = LASTING.first + ((drawn + i) % LASTING.count);
    const free = await requireFreePort(port, '').then(
      () => true,
      () => false,
    );
    if (free) return port;
  }
  throw new SppError('internal', 'No port from 18100 to 31999 is free on 127.0.0.1.');
}

const LASTING = { first: 18_100, count: 13_900 };

/** One that is free at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
