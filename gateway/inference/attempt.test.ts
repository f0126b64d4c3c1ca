import { expect, test, vi } from 'vitest';
import { addresses, report } from '../nodes/fleet.fixture.ts';
import { fleet } from '../nodes/fleet.ts';
import { nodeSecrets } from '../nodes/node-secrets.ts';
import { free } from '../selector/candidates.ts';
import { type AttemptContext, type AttemptRequest, attempt } from './attempt.ts';
import { Deadline } from './deadline.ts';
import { smallUpload } from './upload.fixture.ts';

const background = { waitUntil: () => {} };

/** A request to node a of a fleet, which answers when it is told to. */
function bench() {
  const nodes = fleet({ nodes: addresses, fetchReport: async ({ name }) => report(name), now: Date.now });
  let answer = (_: Response) => {};
  const asked = vi.fn(() => new Promise<Response>((resolve) => (answer = resolve)));
  const reservation = { settle: vi.fn(), refund: vi.fn() };
  const request: AttemptRequest = {
    chosen: {
      level: 0,
      node: 'a',
      quality: 1,
      sparsity: 0,
      costNanoUsd: 5,
      predicted: { networkMs: 1, queueMs: 0, executeMs: 1, totalMs: 2 },
    },
    minLevel: 0,
    expectedQueueMs: 0,
    usualMs: 1,
    model: 'm',
    version: 'v1',
    batch: 1,
    length: 0,
    upload: smallUpload({ bytes: 10, repeatable: false, arrived: () => false, body: () => '' }),
    trace: { requestId: 'r', parent: '', state: null },
    deadline: new Deadline(Date.now(), 10_000, Date.now),
    reservation,
    promised: undefined,
    abortable: false,
    quickestWayMs: 0,
  };
  const context: AttemptContext = {
    fleet: nodes,
    nodeNetwork: { fetch: asked },
    nodeSecrets: nodeSecrets('secret', undefined),
    priceOf: free,
    background,
    now: Date.now,
  };
  const leave = () => nodes.setNodes(addresses.filter(({ name }) => name !== 'a'));
  return {
    begin: () => attempt(request, context),
    leave,
    asked,
    reservation,
    answer: (told: Response) => answer(told),
  };
}

test('a node that leaves the fleet before it is sent to is not reached, and nothing is paid', async () => {
  const { begin, leave, asked, reservation } = bench();
  leave();
  expect(await begin().done).toMatchObject({ forwarded: { kind: 'unreached' }, costNanoUsd: 0 });
  expect(asked).not.toHaveBeenCalled();
  expect(reservation.refund).toHaveBeenCalledOnce();
});

test('the answer of a node that leaves the fleet meanwhile counts', async () => {
  const { begin, leave, reservation, answer } = bench();
  const { done } = begin();
  leave();
  answer(Response.json({}, { headers: { 'content-length': '2' } }));
  expect(await done).toMatchObject({ forwarded: { kind: 'answered', answer: { status: 200 } } });
  expect(reservation.settle).toHaveBeenCalledOnce();
});
