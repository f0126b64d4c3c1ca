import { afterEach, expect, test, vi } from 'vitest';
import { nodeSecrets } from '../nodes/node-secrets.ts';
import { Deadline } from './deadline.ts';
import { type Forwarded, type ForwardRequest, forward } from './forward.ts';
import { smallUpload } from './upload.fixture.ts';

/** A request to a node that answers at once. @param asked told with what */
function requestTo(
  deadline: Deadline,
  now: () => number,
  asked: (headers: Headers) => void,
  quickestWayMs = 0,
): ForwardRequest {
  return {
    node: { name: 'a', url: 'http://a', nodeClass: 'default', draining: false },
    nodeNetwork: {
      async fetch(_, { headers }) {
        asked(new Headers(headers));
        return Response.json({}, { headers: { 'content-length': '2' } });
      },
    },
    nodeSecrets: nodeSecrets('secret', undefined),
    model: 'm',
    version: 'v1',
    level: 0,
    minLevel: 0,
    batch: 1,
    length: 0,
    upload: smallUpload(),
    trace: { requestId: 'r', parent: 'p', state: null },
    deadline,
    quickestWayMs,
    abortable: false,
    now,
  };
}

/** @returns the milliseconds that the node is told it has */
async function toldMs(budgetMs: number, quickestWayMs: number): Promise<number> {
  let told = Number.NaN;
  const now = () => 1000;
  const deadline = new Deadline(1000, budgetMs, now);
  const hear = (headers: Headers) => (told = Number(headers.get('x-latency-budget-remaining')));
  const request = requestTo(deadline, now, hear, quickestWayMs);
  const forwarded = await new Promise<Forwarded>((ended) => forward(request, ended));
  expect(forwarded.kind).toBe('answered');
  deadline.release();
  return told;
}

test('a node is told what is left but for the way there and back, of which its clock sees nothing', async () => {
  expect(await toldMs(200, 0)).toBe(200);
  expect(await toldMs(200, 30)).toBe(170);
});

test('a node that cannot answer in time any more is told so, not that there is no deadline', async () => {
  expect(await toldMs(20, 30)).toBe(0.001);
});

afterEach(() => void vi.useRealTimers());

test('no node is sent what is over before it is sent', async () => {
  vi.useFakeTimers();
  const deadline = new Deadline(Date.now(), 20, Date.now);
  await vi.advanceTimersByTimeAsync(20);
  const [asked, ended] = [vi.fn(), vi.fn()];
  forward(requestTo(deadline, Date.now, asked), ended);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).not.toHaveBeenCalled();
  expect(ended.mock.calls).toEqual([[{ kind: 'stopped', elapsedMs: 0 }]]);
});
