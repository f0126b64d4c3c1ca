/** What the log of a real node tells of requests, and what it keeps to itself. */
import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { disposables, post, readyNode, tinyArtifact, tinyRequest } from '../../test/support/node-client.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const X = [[1, 2, 3, 4]];

test.each([
  ['an element of the wrong type', 'bad-datatype', { inputs: elements(['my-secret', 2, 3, 4]) }],
  ['an element that should be an array', 'bad-shape', { inputs: elements([[1, 2, 3, 4], 'my-secret'], 2) }],
  ['text that is no JSON', 'bad-json', '{"inputs": my-secret}'],
  ['a name that the model does not have', 'bad-request', { inputs: [{ ...tensor([1]), name: 'my-secret' }] }],
  ['a value that the model does not take', 'bad-request', tinyRequest(X, [9876543210123])],
])('a refusal of %s is logged without what the body holds', async (_, code, body) => {
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  const node = await readyNode(
    scope,
    { artifact: await tinyArtifact(scope), auth: 'token', token: 'my-token' },
    { log },
  );
  const authorization = 'Bearer my-token';
  const answer = await post(`${node.url}/v2/models/tiny/infer`, body, { authorization });
  const told = await answer.text();
  expect([answer.status, told]).toEqual([400, expect.stringMatching(/my-secret|9876543210123/)]);
  const told400 = lines.map((line) => JSON.parse(line)).filter(({ status }) => status === 400);
  expect(told400).toEqual([expect.objectContaining({ code, reason: expect.any(String) })]);
  expect(lines.join('')).not.toMatch(/my-secret|9876543210123|my-token/);
});

test('a refusal for another reason is logged with it', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { log });
  await post(`${node.url}/v2/models/tiny/infer`, tinyRequest(X, [0]), { 'x-latency-budget': 'soon' });
  expect(lines.map((line) => JSON.parse(line))).toContainEqual(
    expect.objectContaining({
      code: 'bad-header',
      reason: expect.stringContaining('X-Latency-Budget: "soon"'),
    }),
  );
});

function tensor(data: unknown[], rows = 1) {
  return { name: 'x', shape: [rows, 4], datatype: 'FP32', data };
}

function elements(data: unknown[], rows = 1) {
  return [tensor(data, rows), { name: 'token', shape: [1], datatype: 'INT64', data: [0] }];
}
