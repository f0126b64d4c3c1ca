import { describe, expect, test } from 'vitest';
import { headerLengthName } from '../../schema/binary-tensors.ts';
import { parseMinQuality } from '../../schema/headers.ts';
import { clientResponse } from './node-answer.ts';

const qualities = [0.5, 0.97581234, 0.97581279, 2 / 3, 1];
const levels = qualities.map((value, level) => ({ level, sparsity: 0, quality: { value } }));
const version = { version: 'v1', ordinal: 1, levels } as unknown as Parameters<
  typeof clientResponse
>[1]['version'];

function answered(status: number, headers: Record<string, string>, asked: number, level: number) {
  return response(status, headers, asked, level).headers;
}

function response(status: number, headers: Record<string, string>, asked = 0, level = 0, body = '') {
  return clientResponse(
    {
      status,
      headers: new Headers(headers),
      type: headers['content-type'] ?? null,
      level,
      fault: undefined,
      body: { kind: 'whole', bytes: new TextEncoder().encode(body) },
      roundTripMs: 2,
      queueMs: 0,
      executeMs: 1,
      networkMs: 1,
    },
    {
      asked,
      level,
      version,
      policyVersion: 1,
      decision: 'fits',
      selectMs: 0,
      budgetRemainingMs: 10,
      costNanoUsd: 0,
      told: new Map(),
    },
  );
}

test('a client is told what only the node knows: where its bytes begin, when to come again, which level it stepped down from', () => {
  expect(answered(200, { [headerLengthName]: '12' }, 3, 3).get(headerLengthName)).toBe('12');
  expect(answered(503, { 'retry-after': '2' }, 3, 3).get('retry-after')).toBe('2');
  expect(answered(200, { 'x-path-stepped-from': '3' }, 3, 1).get('x-path-stepped-from')).toBe('3');
});

test('the quality that a client is told is one that it may ask for: the level has it', () => {
  for (const [level, quality] of qualities.entries()) {
    const told = parseMinQuality(answered(200, {}, level, level).get('x-path-quality') ?? '');
    expect(told).toBeLessThanOrEqual(quality);
    expect(told).toBeGreaterThan(quality - 2e-6);
  }
});

describe('a refusal of a node that knows no problem documents', () => {
  const json = { 'content-type': 'application/json' };
  const told = async (status: number, body: string, headers: Record<string, string> = json) => {
    const answer = response(status, headers, 0, 0, body);
    return { answer, problem: (await answer.json()) as Record<string, unknown> };
  };

  test.each([
    [400, 'bad-request'],
    [413, 'body-too-large'],
    [415, 'unsupported-media-type'],
  ])('with %d is told as one, with what is wrong with the request', async (status, code) => {
    const { answer, problem } = await told(status, '{"error":"x has 3 elements"}');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/problem+json']);
    expect(problem).toMatchObject({ code, status, type: `/problems/${code}`, error: 'x has 3 elements' });
    expect(answer.headers.get('x-path-level')).toBe('0');
  });

  test('whose own fault it is shows nothing of it, and says when to come again', async () => {
    for (const [status, code] of [
      [429, 'queue-full'],
      [503, 'no-node'],
      [504, 'budget-overrun'],
    ] as const) {
      const { answer, problem } = await told(status, '{"error":"a secret of the node"}');
      expect([answer.status, problem.code]).toEqual([status, code]);
      expect(JSON.stringify(problem)).not.toContain('secret');
      expect(answer.headers.get('retry-after')).toBe(status === 504 ? null : '1');
    }
  });

  test('and says nothing that is understood is told all the same', async () => {
    for (const body of ['', 'no', '{}', '{"error":7}', 'null', `{"error":"${'x'.repeat(5000)}"}`]) {
      const { answer, problem } = await told(400, body);
      expect([answer.status, problem.code]).toEqual([400, 'bad-request']);
      expect(String(problem.error).length).toBeLessThanOrEqual(500);
    }
  });

  test('that has one is handed on as it is', async () => {
    const type = { 'content-type': 'application/problem+json; charset=utf-8' };
    const { problem } = await told(503, '{"code":"draining","more":1}', type);
    expect(problem).toEqual({ code: 'draining', more: 1 });
  });
});
