import { expect, test } from 'vitest';
import { headerLengthName } from '../../schema/binary-tensors.ts';
import { parseMinQuality } from '../../schema/headers.ts';
import { clientResponse } from './node-answer.ts';

const qualities = [0.5, 0.97581234, 0.97581279, 2 / 3, 1];
const levels = qualities.map((value, level) => ({ level, sparsity: 0, quality: { value } }));
const version = { version: 'v1', ordinal: 1, levels } as unknown as Parameters<
  typeof clientResponse
>[1]['version'];

function answered(status: number, headers: Record<string, string>, asked: number, level: number) {
  return clientResponse(
    {
      status,
      headers: new Headers(headers),
      type: null,
      level,
      fault: undefined,
      version: null,
      body: { kind: 'whole', bytes: new Uint8Array(0) },
      roundTripMs: 2,
      queueMs: 0,
      executeMs: 1,
      networkMs: 1,
    },
    {
      asked,
      level,
      version,
      versions: new Map([['v1', version]]),
      policyVersion: 1,
      decision: 'fits',
      selectMs: 0,
      budgetRemainingMs: 10,
      costNanoUsd: 0,
      told: new Map(),
    },
  ).headers;
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
