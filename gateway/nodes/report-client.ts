/** Asks a node how it is. */
import { SppError } from '../../schema/errors.ts';
import { type NodeReport, nodeReportSchema } from '../../schema/node-report.ts';
import type { NodeAddress } from './node-address.ts';

/** A node that does not answer within this is not one to send requests to. */
export const REPORT_TIMEOUT_MS = 1000;

/** @throws `no-node` saying what kept the node from reporting */
export async function fetchReport(node: NodeAddress, token: string): Promise<NodeReport> {
  const response = await fetch(`${node.url}/v2/report`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(REPORT_TIMEOUT_MS),
  }).catch((cause: unknown) => {
    const timedOut = cause instanceof Error && cause.name === 'TimeoutError';
    throw unusable(timedOut ? `does not answer within ${REPORT_TIMEOUT_MS} ms` : 'cannot be reached', cause);
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw unusable(`answers ${response.status} when asked for its report`);
  }
  const parsed = nodeReportSchema.safeParse(await response.json().catch(() => undefined));
  if (!parsed.success) throw unusable('sends a report that is not understood', parsed.error);
  return parsed.data;
}

function unusable(reason: string, cause?: unknown): SppError {
  return new SppError('no-node', reason, { retryAfterS: 1, cause });
}
