/** What a key's limits say to one request: whether it comes too often, and whether it can be paid. */
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { formatNanoUsd } from '../../schema/headers.ts';
import type { Background } from '../state/cell.ts';
import type { Purse, Standing } from './purse.ts';
import type { Purses } from './purses.ts';
import { nothing, type Reservation } from './reservation.ts';

export interface LimitsContext {
  readonly purses: Purses;
  readonly background: Background;
  readonly nowMs: number;
}

/**
 * Counts a request against its key's rate limit.
 * @param told gets the `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers), of a refusal too
 * @throws `rate-limited` with the time to the next window
 */
export function countRequest(
  key: ApiKeyRow,
  told: Map<string, string>,
  context: LimitsContext,
): void | Promise<void> {
  if (key.rateLimit !== null) return countAgainst(key.rateLimit, key, told, context);
}

async function countAgainst(
  { requests, windowS }: NonNullable<ApiKeyRow['rateLimit']>,
  key: ApiKeyRow,
  told: Map<string, string>,
  { purses, background, nowMs }: LimitsContext,
): Promise<void> {
  const purse = purses.of(key, 'rate');
  if (purse === undefined) return;
  const taken = await purse.take(1, (asking) => background.waitUntil(asking));
  if (taken.kind === 'reserved') taken.reservation.settle(1);
  purses.tend(purse, background);
  const { remaining, endsAtMs } = purse.standing();
  const resetS = secondsTo(endsAtMs, nowMs) ?? windowS;
  told.set('ratelimit-policy', `"key";q=${requests};w=${windowS}`);
  told.set('ratelimit', `"key";r=${taken.kind === 'reserved' ? remaining : 0};t=${resetS}`);
  if (taken.kind === 'exhausted')
    throw new SppError('rate-limited', `This key may send ${requests} requests in ${windowS} s.`, {
      hint: 'Wait for the next window; Retry-After says how long.',
      retryAfterS: resetS,
    });
}

/**
 * Sets aside what a request may cost. A key without a budget spends freely.
 * @throws `cost-exhausted`, with the time to the next period where there is one
 */
export function reserveCost(
  key: ApiKeyRow,
  nanoUsd: number,
  context: LimitsContext,
): Reservation | Promise<Reservation> {
  const purse = context.purses.of(key, 'cost');
  return purse === undefined ? nothing : reserveFrom(purse, nanoUsd, context);
}

async function reserveFrom(
  purse: Purse,
  nanoUsd: number,
  { purses, background, nowMs }: LimitsContext,
): Promise<Reservation> {
  const taken = await purse.take(nanoUsd, (asking) => background.waitUntil(asking));
  purses.tend(purse, background);
  if (taken.kind === 'reserved')
    return keptUntilOver(taken.reservation, background, () => purses.tend(purse, background));
  throw exhausted(nanoUsd, taken.standing, taken.heldElsewhere, nowMs);
}

/**
 * The runtime drops a request whose client leaves, and nobody would say what became of its money: it is kept until that is said.
 * @param tend the request may take longer than the purse was tended for when it began
 */
function keptUntilOver(
  { settle, refund }: Reservation,
  background: Background,
  tend: () => void,
): Reservation {
  let said = () => {};
  background.waitUntil(new Promise<void>((resolve) => (said = resolve)));
  const over = () => {
    said();
    tend();
  };
  return {
    settle(units) {
      settle(units);
      over();
    },
    refund() {
      refund();
      over();
    },
  };
}

function exhausted(
  nanoUsd: number,
  { limit, remaining, endsAtMs }: Standing,
  held: boolean,
  nowMs: number,
): SppError {
  const periodS = secondsTo(endsAtMs, nowMs);
  const retryAfterS = held ? 1 : periodS;
  return new SppError(
    'cost-exhausted',
    `The request would cost ${formatNanoUsd(nanoUsd)} USD, and of this key's budget of ${formatNanoUsd(limit)} USD there is not that much left.`,
    {
      hint:
        periodS === undefined
          ? 'Ask the operator for a larger budget, or for a cheaper level with X-Cost-Budget.'
          : 'Ask for a cheaper level with X-Cost-Budget, wait for the next period, or ask the operator for a larger budget.',
      ...(retryAfterS === undefined ? {} : { retryAfterS }),
      details: {
        costNanoUsd: nanoUsd,
        budgetNanoUsd: limit,
        remainingNanoUsd: remaining,
        resetsAtMs: endsAtMs,
      },
    },
  );
}

function secondsTo(atMs: number | null, nowMs: number): number | undefined {
  return atMs === null ? undefined : Math.max(1, Math.ceil((atMs - nowMs) / 1000));
}
