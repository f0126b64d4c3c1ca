/**
 * Tells the gateway of this node: who it is when it starts, how it is every few seconds, and goodbye when it drains. A
 * gateway that is away costs the node nothing but a line in its log.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pRetry, { AbortError } from 'p-retry';
import type { Logger } from 'pino';
import { SppError } from '../../schema/errors.ts';
import { heartbeatAnswerSchema } from '../../schema/node-registration.ts';
import type { NodeReport } from '../../schema/node-report.ts';

export interface HeartbeatOptions {
  /** The gateway's address. */
  readonly gateway: string;
  /** The node's own, shown to the operator who registered it. */
  readonly token: string;
  readonly report: () => NodeReport;
  readonly intervalMs: number;
  readonly log: Logger;
  /** Numbers in [0, 1). */
  readonly random?: () => number;
}

export interface Heartbeat {
  /** Sends one now, since something has changed, and counts the interval from it. */
  beat(): void;
  /** Ends the heartbeats with a last one, within a second. */
  goodbye(): Promise<void>;
}

const ANSWER_MS = 5000;
const GOODBYE_MS = 1000;
/** Tries at one heartbeat; after that the next one is due anyway. */
const RETRIES = 2;
/** Nodes that started together do not stay together. */
const JITTER = 0.2;

export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { token, report, intervalMs, log, random = Math.random } = options;
  const address = `${options.gateway.replace(/\/+$/, '')}/v1/heartbeats`;
  const stop = new AbortController();
  let wake = new AbortController();
  let first = true;
  let trouble: string | undefined;

  const send = async (signal: AbortSignal): Promise<void> => {
    const response = await fetch(address, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(report()),
      // A gateway has no business sending the token elsewhere.
      redirect: 'manual',
      signal,
    });
    if (response.ok) {
      const { node, draining } = heartbeatAnswerSchema.parse(await response.json());
      if (trouble !== undefined || first)
        log.info({ gateway: options.gateway, node, draining }, 'registered');
      first = false;
      trouble = undefined;
      return;
    }
    await response.body?.cancel();
    const isUnknown = response.status === 401;
    const refused = new SppError(
      isUnknown ? 'unauthorized' : 'not-ready',
      `${address} answered ${response.status}.`,
      {
        hint: isUnknown
          ? 'REGISTRATION_TOKEN is not that of a registered node; POST /v1/nodes makes one.'
          : 'Look at the log of the gateway.',
      },
    );
    // What the gateway refuses it refuses again at once.
    throw response.status < 500 && response.status !== 429 ? new AbortError(refused) : refused;
  };

  const beat = async () => {
    try {
      await pRetry(() => send(AbortSignal.any([stop.signal, AbortSignal.timeout(ANSWER_MS)])), {
        retries: RETRIES,
        minTimeout: intervalMs / 8,
        randomize: true,
        signal: stop.signal,
      });
    } catch (error) {
      if (stop.signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== trouble) log.warn({ err: error }, 'the gateway does not hear this node; trying again');
      trouble = reason;
    }
  };

  const run = async () => {
    while (!stop.signal.aborted) {
      wake = new AbortController();
      await beat();
      const pauseMs = intervalMs * (1 + JITTER * (2 * random() - 1));
      await sleep(pauseMs, undefined, { signal: AbortSignal.any([stop.signal, wake.signal]) }).catch(
        () => {},
      );
    }
  };
  const running = run();

  return {
    beat: () => wake.abort(),
    async goodbye() {
      stop.abort();
      await running;
      await send(AbortSignal.timeout(GOODBYE_MS)).catch((error: unknown) =>
        log.warn({ err: error }, 'the gateway did not hear that this node stops'),
      );
    },
  };
}
