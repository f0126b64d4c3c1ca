/** Sends prepared requests over kept connections. */
import type { Socket } from 'node:net';
import { connect, exchange } from '../bench-node/http-exchange.ts';

export interface Reply {
  readonly status: number;
  /** Value of a header, by its name in lower case. */
  header(name: string): string | undefined;
}

export interface Sender {
  /** @returns undefined where the connection was refused or lost */
  send(port: number, request: Uint8Array): Promise<Reply | undefined>;
  close(): void;
}

export function sender(): Sender {
  const idle = new Map<number, Socket[]>();
  const all = new Set<Socket>();
  return {
    async send(port, request) {
      const free = idle.get(port) ?? [];
      idle.set(port, free);
      try {
        let socket = free.pop();
        while (socket?.destroyed) socket = free.pop();
        socket ??= await connect(port);
        all.add(socket);
        const { status, head } = await exchange(socket, request);
        free.push(socket);
        return {
          status,
          header: (name) =>
            head
              .split('\r\n')
              .find((line) => line.toLowerCase().startsWith(`${name}:`))
              ?.slice(name.length + 1)
              .trim(),
        };
      } catch {
        return undefined;
      }
    },
    close() {
      for (const socket of all) socket.destroy();
    },
  };
}
