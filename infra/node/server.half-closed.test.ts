/** Clients that end their side of the line behind their requests: who waits is answered, who has left is not worked for. */
import type { Socket } from 'node:net';
import { createConnection } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type GatedThreads, gatedThreads } from '../../test/support/gated-threads.ts';
import {
  disposables,
  inferOk,
  readyNode,
  tinyArtifact,
  tinyRequest,
} from '../../test/support/node-client.ts';
import type { RunningNode } from './server.ts';

const scope = disposables();
afterEach(() => scope.dispose());
const request = tinyRequest([[1, 2, 3, 4]], [0]);
const body = JSON.stringify(request);
const infer = (version: string) =>
  `POST /v2/models/tiny/infer HTTP/${version}\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

let node: RunningNode;
let threads: GatedThreads;
/** Lets the one thread go on, which has been kept busy. */
let goOn: () => Promise<void>;
beforeEach(async () => {
  threads = gatedThreads();
  node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { spawn: threads.spawn });
  threads.hold();
  const running = inferOk(`${node.url}/v2/models/tiny/infer`, request);
  await threads.held(1);
  goOn = async () => {
    threads.release();
    await running;
  };
});

/** Sends a text; `received` is what comes until the server ends its side, too. */
function send(text: string): { socket: Socket; received: Promise<string> } {
  const port = Number(new URL(node.url).port);
  const socket = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true });
  scope.onDispose(async () => socket.destroy());
  const received = new Promise<string>((resolve, reject) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', reject).on('end', () => resolve(text));
  });
  socket.write(text);
  return { socket, received };
}

const waiting = (count: number) => expect.poll(() => node.report().queueLength).toBe(count);

test('all that were asked for are answered, in their order, and the connection ends with the last answer', async () => {
  const { socket, received } = send(`${infer('1.1')}GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n${infer('1.1')}`);
  socket.end();
  await waiting(2);
  // Another request's way, so that the server has read the end.
  await (await fetch(`${node.url}/v2/health/live`)).arrayBuffer();
  await goOn();
  const answers = (await received)
    .split(/(?=HTTP\/1\.1 )/)
    .filter((answer) => !/^HTTP\/1\.1 100 Continue\r\n\r\n$/.test(answer));
  expect(answers.map((answer) => Number(answer.slice(9, 12)))).toEqual([200, 200, 200]);
  expect(answers.map((answer) => /^connection: (.*)\r$/im.exec(answer)?.[1])).toEqual([
    'keep-alive',
    'keep-alive',
    'close',
  ]);
});

test.each([
  ['has closed its connection', '1.1', (socket: Socket) => socket.destroy()],
  // It could not be asked whether it is still there.
  ['speaks HTTP/1.0', '1.0', (socket: Socket) => socket.end()],
])('the requests of a client that %s leave the queue', async (_, version, leave) => {
  const { socket, received } = send(infer(version));
  received.catch(() => {});
  await waiting(1);
  leave(socket);
  await waiting(0);
  await goOn();
});
