import { describe, expect, test } from 'vitest';
import { defaultPolicy, policySchema } from '../../schema/policy.ts';
import { rulesForRequest } from './request-rules.ts';

const id = 'key_0123456789abcdef';
const policy = policySchema.parse({
  ...defaultPolicy,
  classes: [
    { name: 'gold', quantile: 0.99 },
    { name: 'bulk', quantile: 0.5, objective: { kind: 'cost-first' } },
  ],
  defaultClass: 'gold',
  overrides: [{ key: id, defaultClass: 'bulk', reserveMs: 7 }],
});
const asked = { latencyMs: 20, costNanoUsd: undefined, minQuality: undefined, slaClass: undefined };
const rules = (slaClass: string | undefined, key?: { id: string; classes: string[] | null }) =>
  rulesForRequest(policy, { ...asked, slaClass }, key);

describe('the class of a request', () => {
  test('is the one it names, else its key’s, else the policy’s', () => {
    expect(rules('bulk')).toMatchObject({ slaClass: 'bulk', quantile: 0.5, reserveMs: 0.5 });
    expect(rules(undefined)).toMatchObject({ slaClass: 'gold', quantile: 0.99 });
    expect(rules(undefined, { id, classes: null })).toMatchObject({ slaClass: 'bulk', reserveMs: 7 });
  });

  test('is one that its key may use', () => {
    const key = { id: 'key_ffffffffffffffff', classes: ['bulk'] };
    expect(rules(undefined, key).slaClass).toBe('bulk');
    const refusals = ['gold', 'nowhere'].map((name) => {
      try {
        return rules(name, key);
      } catch (error) {
        return String(error).replace(name, '*');
      }
    });
    expect(new Set(refusals).size).toBe(1);
    expect(() => rules('gold', key)).toThrow(expect.objectContaining({ code: 'forbidden' }));
    expect(() => rules(undefined, { ...key, classes: ['gone'] })).toThrow(/gone/);
  });

  test('that does not exist is refused, not ignored', () => {
    expect(() => rules('nowhere')).toThrow(expect.objectContaining({ code: 'forbidden' }));
  });
});
