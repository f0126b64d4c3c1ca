import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { parseCostBudget, parseLatencyBudget } from '../../schema/headers.ts';
import { createClient, type GatewayProblem, type InferOptions } from './client.ts';

const answer = {
  model_name: 'm',
  model_version: '2',
  outputs: [{ name: 'y', shape: [1], datatype: 'FP32', data: [1] }],
};
const inputs = [{ name: 'x', shape: [1], datatype: 'FP32', data: [0] }];
const busy = (headers: Record<string, string>, code = 'no-node') =>
  Response.json({ code, detail: 'busy', hint: 'wait' }, { status: 503, headers });

/** A gateway that answers from a list, and what it was sent. */
const scripted = (...answers: Response[]) => patient(1000, ...answers);

function patient(maxWaitMs: number, ...answers: Response[]) {
  const seen: { url: string; headers: Headers; body: string }[] = [];
  const client = createClient({
    url: 'http://gateway/',
    key: 'sp_key',
    maxWaitMs,
    fetch: async (url, init) => {
      seen.push({ url: String(url), headers: new Headers(init?.headers), body: String(init?.body) });
      return answers.shift() ?? Response.json(answer);
    },
  });
  return { client, seen };
}

describe('the client', () => {
  test('sends budgets as headers and decodes the decision', async () => {
    const headers = {
      'x-path-level': '2',
      'x-path-quality': '0.95',
      'x-path-decision': 'fits',
      'x-cost': '0.0003',
      'x-policy-version': '7',
      'server-timing': 'select;dur=0.1, execute;dur=4',
      'x-path-explanation': '{"kind":"serve"}',
    };
    const { client, seen } = scripted(Response.json(answer, { headers }));
    const options: InferOptions = {
      latencyBudgetMs: 40,
      costBudgetUsd: 0.0005,
      minQuality: 0.9,
      slaClass: 'gold',
      level: 2,
      explain: true,
    };
    const { outputs, modelVersion, decision } = await client.infer('a model', inputs, options);
    expect(outputs).toEqual(answer.outputs);
    expect(modelVersion).toBe('2');
    expect(decision).toMatchObject({
      level: 2,
      quality: 0.95,
      kind: 'fits',
      costUsd: 0.0003,
      policyVersion: 7,
      sparsity: undefined,
      timing: { select: 0.1, execute: 4 },
      explanation: { kind: 'serve' },
    });
    expect(seen[0]?.url).toBe('http://gateway/v2/models/a%20model/versions/2/infer');
    expect(Object.fromEntries(seen[0]?.headers ?? [])).toMatchObject({
      authorization: 'Bearer sp_key',
      'x-latency-budget': '40',
      'x-cost-budget': '0.0005',
      'x-min-quality': '0.9',
      'x-sla-class': 'gold',
      'x-explain': '1',
    });
  });

  test('sends typed arrays as their numbers', async () => {
    const { client, seen } = scripted();
    const data = [Float32Array.of(0.5, -1), BigInt64Array.of(7n), [[1], [2]]];
    await client.infer(
      'm',
      data.map((values) => ({ name: 'x', shape: [1], datatype: 'FP32', data: values })),
    );
    const { inputs: sent } = JSON.parse(seen[0]?.body ?? '') as { inputs: { data: unknown }[] };
    expect(sent.map((tensor) => tensor.data)).toEqual([[0.5, -1], [7], [[1], [2]]]);
    const large = [{ name: 'x', shape: [1], datatype: 'INT64', data: BigInt64Array.of(2n ** 60n) }];
    await expect(client.infer('m', large)).rejects.toThrow(RangeError);
  });

  test('keeps an answer whose reasons it cannot read, and says when an answer is none', async () => {
    const { client } = scripted(
      Response.json(answer, { headers: { 'x-path-explanation': '{"kind"' } }),
      new Response('<html>'),
    );
    expect((await client.infer('m', inputs)).decision.explanation).toBeUndefined();
    await expect(client.infer('m', inputs)).rejects.toThrow('not an inference response');
  });

  test('makes up request ids on pages without TLS, too, where browsers have no randomUUID', async () => {
    const { client, seen } = scripted();
    const randomUUID = vi.spyOn(crypto, 'randomUUID').mockImplementation(() => {
      throw new TypeError('crypto.randomUUID is not a function');
    });
    await client.infer('m', inputs);
    await client.infer('m', inputs);
    randomUUID.mockRestore();
    const ids = seen.map(({ headers }) => headers.get('x-request-id'));
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  });

  test('comes again when the gateway says when, with the same request id', async () => {
    const { client, seen } = scripted(busy({ 'retry-after': '0' }), busy({ 'retry-after': '0' }));
    await client.infer('m', inputs);
    expect(seen).toHaveLength(3);
    expect(new Set(seen.map(({ headers }) => headers.get('x-request-id'))).size).toBe(1);
  });

  test.each<[string, Response, number]>([
    ['does not say when', busy({}), 1],
    ['says what is no time', busy({ 'retry-after': '1.5' }), 1],
    ['says what is no date', busy({ 'retry-after': '-1' }), 1],
    [
      'says a date that has passed again and again',
      busy({ 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' }),
      3,
    ],
    ['says a time beyond the client’s patience', busy({ 'retry-after': '60' }), 1],
    ['says so again and again', busy({ 'retry-after': '0' }), 3],
  ])('throws the problem when the gateway %s', async (_, response, tries) => {
    const { client, seen } = scripted(response, response.clone(), response.clone());
    const problem = (await client.infer('m', inputs).catch((error: unknown) => error)) as GatewayProblem;
    expect(problem).toMatchObject({ code: 'no-node', status: 503, message: 'busy', hint: 'wait' });
    expect(seen).toHaveLength(tries);
  });

  test('does not wait for longer than a timer can, however patient', async () => {
    const { client, seen } = patient(Number.POSITIVE_INFINITY, busy({ 'retry-after': '9999999' }));
    await expect(client.infer('m', inputs)).rejects.toMatchObject({ status: 503 });
    expect(seen).toHaveLength(1);
  });

  test('stops waiting when it is told to', async () => {
    const { client, seen } = scripted(busy({ 'retry-after': '1' }));
    const controller = new AbortController();
    const asked = client.infer('m', inputs, { signal: controller.signal });
    const stopped = expect(asked).rejects.toThrow('enough');
    await Promise.resolve();
    controller.abort(new Error('enough'));
    await stopped;
    expect(seen).toHaveLength(1);
  });

  test('writes numbers as the gateway reads them, and refuses those that it could not', async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ min: 0.001, max: 1e6, noNaN: true }), async (value) => {
        const { client, seen } = scripted();
        await client.infer('m', inputs, { latencyBudgetMs: value, costBudgetUsd: value });
        const header = (name: string) => seen[0]?.headers.get(name) ?? '';
        expect(parseLatencyBudget(header('x-latency-budget'))).toBeCloseTo(value, 5);
        expect(Number(header('x-cost-budget'))).toBeLessThanOrEqual(value);
        expect(parseCostBudget(header('x-cost-budget')) / 1e9).toBeCloseTo(value, 5);
      }),
    );
    await expect(scripted().client.infer('m', inputs, { latencyBudgetMs: Number.NaN })).rejects.toThrow(
      RangeError,
    );
  });
});
