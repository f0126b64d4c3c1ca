import { expect, test } from 'vitest';
import { pooledRandomHex } from '../auth/digests.ts';
import { traceOf } from './trace.ts';

const randomHex = pooledRandomHex();

const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const traced = (headers: Record<string, string>) => traceOf(new Headers(headers), 'r-1', randomHex);

test('a trace is handed on as it came', () => {
  expect(traced({ traceparent: parent, tracestate: 'a=1' })).toEqual({
    requestId: 'r-1',
    parent,
    state: 'a=1',
  });
});

test('of a later version as much is known as of this one', () => {
  const later = parent.replace('00-', '01-');
  expect(traced({ traceparent: later }).parent).toBe(later);
  expect(traced({ traceparent: `${later}-more` }).parent).toBe(`${later}-more`);
});

test.each([
  '',
  'no',
  parent.toUpperCase(),
  parent.replace('00-', 'ff-'),
  `${parent}-what-version-00-does-not-have`,
  `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
  `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`,
])('%j begins a trace of its own, without the state of another', (traceparent) => {
  const trace = traced({ traceparent, tracestate: 'a=1' });
  expect(trace.parent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  expect(trace.parent).not.toBe(traced({}).parent);
  expect(trace.state).toBeNull();
});
