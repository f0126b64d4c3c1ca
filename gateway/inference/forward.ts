/** Sends one request to one node. */
import { SppError } from '../../schema/errors.ts';
import { formatMs, headerNames, parseServerTiming } from '../../schema/headers.ts';
import type { NodeAddress } from '../settings.ts';

export interface ForwardRequest {
  readonly node: NodeAddress;
  readonly nodeToken: string;
  readonly model: string;
  readonly level: number;
  readonly body: Uint8Array<ArrayBuffer>;
  /** Trace and identity, handed on as they came. */
  readonly headers: Readonly<Record<string, string>>;
  readonly leftMs: number;
  readonly now: () => number;
}

export interface NodeAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: ArrayBuffer;
  /** As the gateway measured it: from sending to having all of the answer. */
  readonly roundTripMs: number;
  readonly queueMs: number;
  readonly executeMs: number;
  /** Of the round trip, all that the node does not account for. */
  readonly networkMs: number;
}

/** The node was not reached, or went away before it had answered in full: another one may do the work. */
export interface Unreached {
  readonly unreached: string;
  readonly cause: unknown;
}

/** @throws `budget-overrun` when the time is up; the node's work is aborted with it */
export async function forward(request: ForwardRequest): Promise<NodeAnswer | Unreached> {
  const { node, model, level, body, leftMs, now } = request;
  const startedMs = now();
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(leftMs)));
  try {
    const response = await fetch(`${node.url}/v2/models/${model}/versions/${level}/infer`, {
      method: 'POST',
      headers: {
        ...request.headers,
        'content-type': 'application/json',
        authorization: `Bearer ${request.nodeToken}`,
        [headerNames.budgetRemaining]: formatMs(Math.max(0.001, leftMs)),
      },
      body,
      signal,
    });
    const answer = await response.arrayBuffer();
    const roundTripMs = now() - startedMs;
    const timing = parseServerTiming(response.headers.get('server-timing') ?? '');
    const [queueMs, executeMs] = [(timing.queue ?? 0) + (timing.load ?? 0), timing.execute ?? 0];
    return {
      status: response.status,
      headers: response.headers,
      body: answer,
      roundTripMs,
      queueMs,
      executeMs,
      networkMs: Math.max(0, roundTripMs - queueMs - executeMs),
    };
  } catch (cause) {
    if (signal.aborted)
      throw new SppError('budget-overrun', 'The latency budget ran out while the node was at work.', {
        hint: 'Ask with a larger X-Latency-Budget, or let the operator lower the quality that the policy promises.',
        details: { level },
      });
    return { unreached: 'lost the connection', cause };
  }
}
