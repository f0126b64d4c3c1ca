import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SppError } from './errors.ts';
import {
  formatMs,
  formatNanoUsd,
  formatServerTiming,
  parseCostBudget,
  parseLatencyBudget,
  parseMinQuality,
  serverTiming,
} from './headers.ts';

describe('X-Latency-Budget', () => {
  test.each([
    ['40', 40],
    ['40ms', 40],
    ['1.5s', 1500],
    ['0.25', 0.25],
    [' 7ms ', 7],
    ['86400s', 86_400_000],
    [String(1000 / 30), 1000 / 30],
    [`${0.1 + 0.2}s`, 300.00000000000006],
  ])('%s is %d ms', (text, ms) => {
    expect(parseLatencyBudget(text)).toBe(ms);
  });

  test.each([
    '',
    '0',
    '0ms',
    '-5',
    '+5',
    '5 ms',
    '5MS',
    'ms',
    '1e3',
    'NaN',
    'Infinity',
    '5m',
    '0x10',
    '5,0',
    '1.',
    '.5',
    '99999999999',
    '40, 50',
    '٤٠',
  ])('refuses %j', (text) => {
    expect(() => parseLatencyBudget(text)).toThrow(SppError);
    expect(() => parseLatencyBudget(text)).toThrow(/X-Latency-Budget/);
  });

  test('any text is a positive number or a bad-header error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.mse-]{0,8}$/)), (text) => {
        try {
          expect(parseLatencyBudget(text)).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toMatchObject({ code: 'bad-header', status: 400 });
        }
      }),
    );
  });

  test('what is written is read back to the microsecond', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 86_400_000, noNaN: true }), (ms) => {
        expect(Math.abs(parseLatencyBudget(formatMs(ms)) - ms)).toBeLessThanOrEqual(0.0005001);
      }),
    );
  });
});

describe('other headers', () => {
  test('cost budgets are dollars or micro-dollars, as whole nano-dollars', () => {
    expect(parseCostBudget('0.0005')).toBe(500_000);
    expect(parseCostBudget('50u')).toBe(50_000);
    expect(parseCostBudget('0.1')).toBe(100_000_000);
    expect(parseCostBudget('1.0015u')).toBe(1001);
    expect(parseCostBudget(String(0.1 + 0.2))).toBe(300_000_000);
    for (const bad of ['0', '-1', '5$', 'u', '', '0.0000000001u', '9007200'])
      expect(() => parseCostBudget(bad)).toThrow(/X-Cost-Budget/);
  });

  test('a cost that is written is read back to the nano-dollar', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (nanoUsd) => {
        expect(parseCostBudget(formatNanoUsd(nanoUsd))).toBe(nanoUsd);
      }),
    );
    expect([0, 1, 10_000_000_000].map(formatNanoUsd)).toEqual(['0', '0.000000001', '10']);
  });

  test('minimum quality lies between 0 and 1', () => {
    expect(parseMinQuality('0.97')).toBe(0.97);
    expect(parseMinQuality(String(0.1 + 0.2))).toBe(0.1 + 0.2);
    for (const bad of ['1.1', '-0', '97%', '']) expect(() => parseMinQuality(bad)).toThrow(/X-Min-Quality/);
  });

  test('Server-Timing lists durations', () => {
    expect(formatServerTiming({ select: 0.1234, execute: 2 })).toBe('select;dur=0.123, execute;dur=2');
  });

  test('a Server-Timing header is read back, and what is not understood is left out', () => {
    const name = fc.stringMatching(/^[a-z]{1,8}$/).filter((text) => !(text in Object.prototype));
    const ms = fc.integer({ min: 0, max: 1e9 }).map((n) => n / 1000);
    fc.assert(
      fc.property(fc.dictionary(name, ms, { minKeys: 1 }), (entries) => {
        const text = formatServerTiming(entries);
        for (const [key, value] of Object.entries(entries)) expect(serverTiming(text, key)).toBe(value);
        expect(serverTiming(text, 'absent-one')).toBeUndefined();
      }),
    );
    const text =
      'miss, db;desc="x" ; dur=1.5\t,dbs;dur=7, a;dur=-1, ;dur=2, b;dur=, c;dur=1.2.3, d;dur=., e;dur=3;dur=4, c;dur=5';
    const read = ['miss', 'db', 'd', 'a', 'b', 'c', 'e'].map((name) => serverTiming(text, name));
    expect(read).toEqual([undefined, 1.5, undefined, undefined, undefined, 5, 3]);
    for (const value of ['0x1', '1e3', ' 1', '1 2', '1234567890123', '0.1234567890', '\u0661'])
      expect(serverTiming(`a;dur=${value}`, 'a'), value).toBeUndefined();
  });
});
