/** One request on one node: money set aside before, and what came of it told to the fleet and the ledger after. */
import type { Reservation } from '../budget/reservation.ts';
import type { Fleet } from '../nodes/fleet.ts';
import type { NodeNetwork } from '../nodes/node-network.ts';
import type { NodeSecrets } from '../nodes/node-secrets.ts';
import type { Outcome } from '../nodes/outcome.ts';
import type { Expected } from '../selector/candidate-table.ts';
import { costNanoUsd, type PriceOf } from '../selector/candidates.ts';
import type { Candidate } from '../selector/select.ts';
import type { Background } from '../state/cell.ts';
import type { Deadline } from './deadline.ts';
import { type Forwarded, forward } from './forward.ts';
import type { Attempt } from './hedging.ts';
import { anotherMay, declined, failureOf, isServed } from './node-answer.ts';
import type { Trace } from './trace.ts';
import type { Upload } from './upload.ts';

/** Of `Expected`, the wait is a part of `chosen.predicted.queueMs`. */
export interface AttemptRequest extends Expected {
  readonly chosen: Candidate;
  readonly minLevel: number;
  readonly model: string;
  readonly version: string;
  readonly batch: number;
  /** Of its sequences, as nodes put lengths together. */
  readonly length: number;
  readonly upload: Upload;
  readonly trace: Trace;
  readonly deadline: Deadline;
  readonly reservation: Reservation;
  /** The quantile of its predicted time that fits the budget; undefined where that was not promised. */
  readonly promised: number | undefined;
  /** As `ForwardRequest` has it. */
  readonly abortable: boolean;
  /** A copy that only shows how the node is. */
  readonly probe?: boolean;
}

export interface AttemptContext {
  readonly fleet: Fleet;
  readonly nodeNetwork: NodeNetwork;
  readonly nodeSecrets: NodeSecrets;
  readonly priceOf: PriceOf;
  readonly background: Background;
  readonly now: () => number;
}

export interface AttemptResult {
  readonly chosen: Candidate;
  readonly forwarded: Forwarded;
  /** That answered, which may be sparser than the chosen one. */
  readonly level: number;
  /** What the client pays. */
  readonly costNanoUsd: number;
}

export function attempt(request: AttemptRequest, context: AttemptContext): Attempt<AttemptResult> {
  const { chosen, deadline, reservation, upload } = request;
  const { fleet, now } = context;
  const begin = () =>
    fleet.begin(chosen.node, context.background, {
      executeMs: request.usualMs,
      endMs: now() + deadline.leftMs(),
      probe: request.probe ?? false,
      promised: request.promised,
    });
  // A node has no work with what is still coming: those who send slowly are no load.
  let over = upload.arrived() ? begin() : undefined;
  if (over === undefined)
    upload.onArrived(() => {
      over ??= begin();
    });
  // Undefined where it left the fleet between its choice and its sending.
  const node = fleet.addressOf(chosen.node);
  const startedMs = now();
  const { model, version, minLevel, batch, length, trace, abortable, quickestWayMs } = request;
  const { nodeNetwork, nodeSecrets } = context;
  let stop = () => {};
  const ended = (forwarded: Forwarded): AttemptResult => {
    const level = forwarded.kind === 'answered' ? forwarded.answer.level : chosen.level;
    const served = forwarded.kind === 'answered' && isServed(forwarded.answer);
    const cost = served
      ? Math.min(
          chosen.costNanoUsd,
          costNanoUsd(
            context.priceOf(node?.nodeClass ?? '', level),
            forwarded.answer.executeMs,
            upload.bytes,
          ),
        )
      : 0;
    if (served) reservation.settle(cost);
    else reservation.refund();
    over ??= begin();
    over(outcomeOf(forwarded, level, request, deadline.leftMs() <= 0, now() - startedMs));
    return { chosen, forwarded, level, costNanoUsd: cost };
  };
  const done = new Promise<AttemptResult>((resolve, reject) => {
    const told = (forwarded: Forwarded) => {
      try {
        resolve(ended(forwarded));
      } catch (error) {
        reject(error);
      }
    };
    if (node === undefined) {
      told({ kind: 'unreached', cause: new Error('The node has left the fleet.') });
      return;
    }
    stop = forward(
      {
        node,
        nodeNetwork,
        nodeSecrets,
        model,
        version,
        level: chosen.level,
        minLevel,
        batch,
        length,
        upload,
        trace,
        deadline,
        quickestWayMs,
        abortable,
        now,
      },
      told,
    );
  });
  return { done, stop: () => stop() };
}

/** @param late the deadline has passed: what was stopped was not stopped for another node's sake */
function outcomeOf(
  forwarded: Forwarded,
  level: number,
  { chosen, model, batch, length, version, upload, expectedQueueMs }: AttemptRequest,
  late: boolean,
  elapsedMs: number,
): Outcome {
  // How long a client takes to send says nothing of the node that waits for it.
  const alsoClients = !upload.arrived();
  const cutOff = (): Outcome => {
    const { networkMs, queueMs, totalMs } = chosen.predicted;
    return {
      kind: 'cut-off',
      model,
      version,
      level,
      batch,
      length,
      executeMs: Math.max(0, elapsedMs - networkMs - queueMs),
      expectedQueueMs,
      // A node that had less time than it was predicted to take did nothing wrong.
      fault: late && elapsedMs >= totalMs && forwarded.kind !== 'answered',
      answered: forwarded.kind === 'answered',
    };
  };
  if (forwarded.kind === 'stopped') return alsoClients ? { kind: 'unknown' } : cutOff();
  if (forwarded.kind === 'unreached')
    // A body that is handed on as it comes breaks off with the client's connection, too.
    return upload.repeatable
      ? { kind: 'failed', reason: 'lost the connection', unreachable: true }
      : { kind: 'unknown' };
  const { answer } = forwarded;
  if (isServed(answer))
    return {
      kind: 'answered',
      sample: {
        model,
        version,
        level,
        batch,
        length,
        networkMs: answer.networkMs,
        streamed: !upload.repeatable,
        requestBytes: upload.bytes,
        answerBytes: answer.body.kind === 'whole' ? answer.body.bytes.byteLength : 0,
        queueMs: answer.queueMs,
        expectedQueueMs,
        executeMs: answer.executeMs,
      },
    };
  if (answer.status === 504 && answer.fault === undefined)
    return alsoClients ? { kind: 'unknown', answered: true } : cutOff();
  // A full queue is load, and a wrong request the client's: neither says that the node fails.
  if (!anotherMay(answer) || answer.status === 429) return { kind: 'unknown', answered: true };
  const reason = declined(answer) ? 'declines requests' : failureOf(answer);
  return { kind: 'failed', reason, unreachable: false };
}
