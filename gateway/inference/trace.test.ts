import { expect, test } from 'vitest';
import { pooledRandomHex } from '../auth/digests.ts';
import { traceHeaders } from './trace.ts';

const randomHex = pooledRandomHex();

const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const traced = (headers: Record<string, string>) => traceHeaders(new Headers(headers), 'r-1', randomHex);

test('a trace is handed on as it came', () => {
  expect(traced({ traceparent: parent, tracestate: 'a=1' })).toEqual({
    'x-request-id': 'r-1',
    traceparent: parent,
    tracestate: 'a=1',
  });
});

test.each([
  '',
  'no',
  parent.toUpperCase(),
  parent.replace('00-', 'ff-'),
  `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
  `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`,
])('%j begins a trace of its own, without the state of another', (traceparent) => {
  const headers = traced({ traceparent, tracestate: 'a=1' });
  expect(headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  expect(headers.traceparent).not.toBe(traced({}).traceparent);
  expect(headers.tracestate).toBeUndefined();
});
