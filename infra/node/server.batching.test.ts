/** Shared runs, stepping down and hopeless deadlines, over real sockets with real runs. */
import { afterEach, describe, expect, test } from 'vitest';
import { gatedThreads } from '../../test/support/gated-threads.ts';
import {
  disposables,
  inferOk,
  post,
  problemOf,
  readyNode,
  tinyArtifact,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { slowLevel } from '../../test/support/node-slow-level.ts';
import { tinyReference } from '../../test/support/tiny-model.ts';
import type { RunningNode } from './server.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const ROWS = [
  [0.5, -1, 2, 0.25],
  [-3, 1, 0, 1],
  [1, 1, 1, 1],
  [0, 2, -2, 0.5],
  [4, 3, 2, 1],
  [-1, -1, 0, 0.1],
];

/** Far off, and yet a deadline: requests without one may be handed to a thread before their turn. */
const FAR = { 'x-latency-budget': '60s' };

/** Runs recorded of a level, of all sizes. */
function runs(node: RunningNode, level: number): number {
  const profiles = node.report().models[0]?.levels[level]?.profiles ?? [];
  return profiles.reduce((sum, { samples }) => sum + samples, 0);
}

describe('requests that wait', () => {
  test('share runs, and each gets the answer it would get alone', async () => {
    const gate = gatedThreads();
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { spawn: gate.spawn });
    const url = `${node.url}/v2/models/tiny/versions/1/infer`;
    const before = runs(node, 1);
    gate.hold();
    const first = inferOk(url, tinyRequest([ROWS[0]!], [0]));
    await gate.held(1);
    const waiting = ROWS.map((row, i) =>
      inferOk(url, tinyRequest([row, ROWS[0]!], [i % 5, 1], { id: `r${i}` }), FAR),
    );
    await expect.poll(() => node.report().queueLength).toBe(ROWS.length);
    gate.release();
    await first;
    for (const [i, { body }] of (await Promise.all(waiting)).entries()) {
      const wanted = tinyReference(1, [ROWS[i]!, ROWS[0]!], [i % 5, 1]);
      expect(body).toMatchObject({ id: `r${i}`, outputs: [{ shape: [2, 3] }, { data: wanted.label }] });
      for (const [at, value] of wanted.logits.flat().entries())
        expect(body.outputs[0]?.data[at]).toBeCloseTo(value, 5);
    }
    expect(runs(node, 1) - before).toBeLessThan(1 + ROWS.length);
  });

  test('share runs that are handed over before their turn, where nobody has a deadline', async () => {
    const gate = gatedThreads();
    const options = { artifact: await tinyArtifact(scope), maxBatch: 4, workers: 1 };
    const node = await readyNode(scope, options, { spawn: gate.spawn });
    const url = `${node.url}/v2/models/tiny/versions/1/infer`;
    gate.hold();
    const first = inferOk(url, tinyRequest([ROWS[0]!], [0]));
    await gate.held(1);
    const others = ROWS.map((row, i) => inferOk(url, tinyRequest([row], [i % 5])));
    await expect.poll(() => node.report().inFlight).toBe(5);
    expect(node.report().queueLength).toBe(2);
    gate.release();
    await first;
    for (const [i, { body }] of (await Promise.all(others)).entries())
      for (const [at, value] of tinyReference(1, [ROWS[i]!], [i % 5])
        .logits.flat()
        .entries())
        expect(body.outputs[0]?.data[at]).toBeCloseTo(value, 5);
  });

  test('of which one cannot be computed: that one is refused, the others are answered', async () => {
    const gate = gatedThreads();
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { spawn: gate.spawn });
    const url = `${node.url}/v2/models/tiny/infer`;
    gate.hold();
    const first = post(url, tinyRequest([ROWS[0]!], [0]));
    await gate.held(1);
    const tokens = [0, 1, 99, 3];
    const waiting = tokens.map((token) => post(url, tinyRequest([ROWS[1]!], [token])));
    await expect.poll(() => node.report().queueLength).toBe(tokens.length);
    gate.release();
    expect((await first).status).toBe(200);
    const [a, b, wrong, c] = await Promise.all(waiting);
    expect([a, b, c].map((response) => response?.status)).toEqual([200, 200, 200]);
    expect(await problemOf(wrong!)).toMatchObject({ status: 400, code: 'bad-request' });
  });

  test('run one by one where the node is told so', async () => {
    const gate = gatedThreads();
    const node = await readyNode(
      scope,
      { artifact: await tinyArtifact(scope), maxBatch: 1 },
      { spawn: gate.spawn },
    );
    const url = `${node.url}/v2/models/tiny/infer`;
    const before = runs(node, 2);
    gate.hold();
    const all = [0, 1, 2].map((token) => post(url, tinyRequest([ROWS[0]!], [token]), FAR));
    await expect.poll(() => node.report().queueLength).toBe(2);
    gate.release();
    await Promise.all(all);
    expect(runs(node, 2) - before).toBe(3);
  });
});

describe('a deadline too near for the level asked for', () => {
  const request = tinyRequest([ROWS[0]!], [3]);

  test('is kept with a sparser level where the request allows that, and the answer says so', async () => {
    const node = await readyNode(
      scope,
      { artifact: await tinyArtifact(scope) },
      { spawn: slowLevel(2, 200) },
    );
    const url = `${node.url}/v2/models/tiny/versions/2/infer`;
    const near = { 'x-latency-budget-remaining': '180', 'x-path-min-level': '0' };
    const { response, body } = await inferOk(url, request, near);
    const level = Number(body.model_version);
    expect([0, 1]).toContain(level);
    expect(response.headers.get('x-path-level')).toBe(String(level));
    expect(response.headers.get('x-path-stepped-from')).toBe('2');
    const wanted = tinyReference(level, [ROWS[0]!], [3]).logits.flat();
    for (const [i, value] of wanted.entries()) expect(body.outputs[0]?.data[i]).toBeCloseTo(value, 5);

    const far = await inferOk(url, request, { ...near, 'x-latency-budget-remaining': '60s' });
    expect([far.body.model_version, far.response.headers.get('x-path-stepped-from')]).toEqual(['2', null]);
  });

  test('is refused at once where the request allows no sparser level', async () => {
    // Said to take so long, not waited for: a machine that stands still lets no deadline pass before somebody looks. So much longer than
    // the budget, as a busy machine is taken for up to five times slower than usual.
    const spawn = slowLevel(2, 200_000, 0);
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { spawn });
    // A slow start serves before all levels are measured, and what is not known is tried.
    await expect.poll(() => runs(node, 2)).toBeGreaterThan(0);
    const url = `${node.url}/v2/models/tiny/versions/2/infer`;
    const refused = await post(url, request, { 'x-latency-budget-remaining': '18s' });
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await problemOf(refused)).toMatchObject({ status: 422, code: 'budget-infeasible', level: 2 });
  });

  test.each(['-1', '3', 'one', '', '0.5'])('refuses %j as the sparsest level', async (text) => {
    const node = await readyNode(scope, { artifact: await tinyArtifact(scope) });
    const url = `${node.url}/v2/models/tiny/versions/2/infer`;
    const response = await post(url, request, { 'x-path-min-level': text });
    expect(await problemOf(response)).toMatchObject({ status: 400, code: 'bad-header' });
  });
});
