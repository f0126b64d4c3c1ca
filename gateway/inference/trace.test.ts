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

test.each([
  ['01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '01'],
  ['01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more', '01'],
  ['cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe-\x01', '00'],
])('%j of a later version is handed on as much as this one knows of it', (traceparent, flags) => {
  expect(traced({ traceparent, tracestate: 'a=1' })).toMatchObject({
    parent: `${parent.slice(0, -2)}${flags}`,
    state: 'a=1',
  });
});

const members = (count: number, characters: number) =>
  Array.from({ length: count }, (_, at) => `k${at}=${'x'.repeat(characters)}`);

test.each([
  ['a=1, b@c=2 ,,d-*/_=~', 'a=1,b@c=2,d-*/_=~'],
  // Longer ones first, then those at the end.
  [[...members(3, 10), `long=${'x'.repeat(200)}`, ...members(20, 20)].join(','), undefined],
  [members(32, 200).join(','), undefined],
])('of the state %j members are handed on, and no more than nodes take', (tracestate, whole) => {
  const { state } = traced({ traceparent: parent, tracestate });
  const given = tracestate.split(',').map((member) => member.trim());
  for (const member of state?.split(',') ?? []) expect(given).toContain(member);
  if (whole !== undefined) expect(state).toBe(whole);
  expect(state?.length ?? 0).toBeLessThanOrEqual(512);
  expect(state ?? '').not.toContain('long');
  expect(state).not.toBe('');
});

test.each([
  'a',
  '=1',
  'A=1',
  'a=\x01',
  'a=1=2',
  'a=\u00e9',
  `a=${'x'.repeat(300)}`,
  members(33, 1).join(','),
])('the state %j is no list, and says nothing', (tracestate) => {
  expect(traced({ traceparent: parent, tracestate })).toMatchObject({ parent, state: null });
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
