import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { defaultPolicy } from '../../schema/policy.ts';
import { addresses, report } from '../nodes/fleet.fixture.ts';
import { fleet } from '../nodes/fleet.ts';
import { nodeSecrets } from '../nodes/node-secrets.ts';
import { free } from '../selector/candidates.ts';
import { open } from '../selector/scene.fixture.ts';
import { RequestBackground } from '../state/background.ts';
import type { CatalogVersion } from '../storage/catalog.ts';
import { Deadline } from './deadline.ts';
import type { DecisionRecord } from './decision-record.ts';
import { dispatch } from './dispatch.ts';
import { hedgeCredit } from './hedging.ts';
import type { DispatchContext, InferenceRequest } from './inference-request.ts';
import { smallUpload } from './upload.fixture.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const BUDGET_MS = 60_000;

const version = (name: string, levels: readonly number[]) =>
  ({
    version: name,
    inputs: [],
    levels: levels.map((level) => ({ level, sparsity: 0, flops: 1, quality: { value: 0.9 } })),
  }) as unknown as CatalogVersion;
const V1 = version('v1', [0]);

/** A request to a fleet of three, whose nodes answer as they are told to, in the order in which they are asked. */
async function bench(over: Partial<InferenceRequest> = {}, rules: Partial<InferenceRequest['rules']> = {}) {
  const asked: {
    readonly signal: AbortSignal | undefined;
    readonly headers: Headers;
    answer(response: Response): void;
  }[] = [];
  const nodes = fleet({
    nodes: ['a', 'b', 'c'].map((name) => ({ ...addresses[0]!, name, url: `http://${name}` })),
    fetchReport: async ({ name }) => report(name),
    now: Date.now,
  });
  const background = new RequestBackground({ waitUntil: () => {} });
  const reservations: { settle: ReturnType<typeof vi.fn>; refund: ReturnType<typeof vi.fn> }[] = [];
  const records: DecisionRecord[] = [];
  const request: InferenceRequest = {
    id: 'r',
    atMs: Date.now(),
    model: { id: 'm', activeVersion: 'v1', versionsDeleted: 0, versions: new Map() },
    route: () => V1,
    pinnedLevel: undefined,
    rules: { ...open, budgetMs: BUDGET_MS, hedgeShare: 1, ...rules },
    askedBudgetMs: BUDGET_MS,
    upload: smallUpload({ bytes: 10 }),
    trace: { requestId: 'r', parent: '', state: null },
    deadline: new Deadline(Date.now(), BUDGET_MS, Date.now),
    abortable: false,
    told: new Map(),
    ...over,
  };
  const context: DispatchContext = {
    fleet: nodes,
    nodeNetwork: {
      fetch: (_, { signal, headers }) =>
        new Promise((answer, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason));
          asked.push({ signal: signal ?? undefined, headers: new Headers(headers), answer });
        }),
    },
    nodeSecrets: nodeSecrets('secret', undefined),
    priceOf: free,
    background,
    now: Date.now,
    policy: { version: 1, document: defaultPolicy, createdAtMs: null, createdBy: null, rollbackTo: null },
    hedges: hedgeCredit(),
    probeShare: 0,
    random: () => 0,
    reserve() {
      const reservation = { settle: vi.fn(), refund: vi.fn() };
      reservations.push(reservation);
      return reservation;
    },
    observe: (record) => void records.push(record),
  };
  await nodes.refresh(background);
  await vi.advanceTimersByTimeAsync(10);
  const inFlight = () => nodes.view().map(({ inFlightHere }) => inFlightHere);
  return { send: () => dispatch(request, context), asked, reservations, records, inFlight };
}

const answer = () => Response.json({}, { headers: { 'content-length': '2' } });

describe('a request whose nodes are slow', () => {
  test('stops all others once one has answered, and leaves nothing set aside or under way', async () => {
    const { send, asked, reservations, records, inFlight } = await bench();
    const response = send();
    await vi.advanceTimersByTimeAsync(1500);
    expect([asked.length, inFlight()]).toEqual([3, [1, 1, 1]]);
    asked[2]?.answer(answer());
    expect((await response).status).toBe(200);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked.map(({ signal }) => signal?.aborted)).toEqual([true, true, false]);
    expect(inFlight()).toEqual([0, 0, 0]);
    expect(
      reservations.map(({ settle, refund }) => [settle, refund].map((f) => f.mock.calls.length)),
    ).toEqual([
      [0, 1],
      [0, 1],
      [1, 0],
    ]);
    expect(records).toMatchObject([{ fits: true, outcome: { status: 200, hedges: 1 } }]);
    expect(records[0]?.outcome.attempts).toHaveLength(3);
  });

  test('is told of its own choice, and not of the one that was made for a second node', async () => {
    // Full with one request under way: another choice would be to give way.
    const { send, asked, records } = await bench({}, { shedAbove: 1 / 6 });
    const response = send();
    await vi.advanceTimersByTimeAsync(500);
    expect(asked).toHaveLength(1);
    asked[0]?.answer(answer());
    expect((await response).headers.get('x-path-decision')).toBe('fits');
    expect(records).toMatchObject([{ kind: 'serve', fits: true }]);
  });

  test('asks others for the same version, while requests begin to go to one that has not its level', async () => {
    const versions = [V1, version('v2', [])];
    const { send, asked } = await bench({
      pinnedLevel: 0,
      route: () => (versions.length > 1 ? versions.shift() : versions[0]) ?? V1,
    });
    const response = send();
    await vi.advanceTimersByTimeAsync(500);
    expect(asked.map(({ headers }) => headers.get('x-artifact-version'))).toEqual(['v1', 'v1']);
    asked[1]?.answer(answer());
    expect((await response).headers.get('x-artifact-version')).toBe('v1');
  });
});
