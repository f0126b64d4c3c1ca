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

/** One that is free at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
