/** Asks a node how it is. */
import { SppError } from '../../schema/errors.ts';
import { type NodeReport, nodeReportSchema } from '../../schema/node-report.ts';
import { parseJson, readBody } from '../http/read-body.ts';
import type { NodeAddress } from './node-address.ts';
import type { NodeNetwork } from './node-network.ts';
import { type NodeSecrets, withSecret } from './node-secrets.ts';

/** A report that takes longer is given up. Until then it is late, which says that the node is busy and not that it is gone. */
const REPORT_TIMEOUT_MS = 5000;

/** As of those that nodes send by themselves: what never ends would take the memory of the isolate. */
const MOST_BYTES = 2 ** 20;

/** A node did not answer in time. */
export class LateReport extends Error {
  constructor(options: ErrorOptions) {
    super(`does not answer within ${REPORT_TIMEOUT_MS} ms`, options);
  }
}

/** @throws `LateReport`, or `no-node` saying what kept the node from reporting */
export async function fetchReport(
  node: NodeAddress,
  secrets: NodeSecrets,
  network: NodeNetwork,
): Promise<NodeReport> {
  const signal = AbortSignal.timeout(REPORT_TIMEOUT_MS);
  const ask = (secret: string) =>
    network.fetch(`${node.url}/v2/report`, {
      headers: { authorization: `Bearer ${secret}` },
      signal,
      // Where the operator says, and nowhere else: the secret goes with the question.
      redirect: 'manual',
    });
  // The first may have gone into a kept connection that the node was closing.
  const response = await withSecret(secrets, node.name, (secret) =>
    ask(secret).catch(() => ask(secret)),
  ).catch((cause: unknown) => {
    if (cause instanceof Error && cause.name === 'TimeoutError') throw new LateReport({ cause });
    throw unusable('cannot be reached', cause);
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw unusable(`answers ${response.status} when asked for its report`);
  }
  const parsed = nodeReportSchema.safeParse(await documentOf(response));
  if (!parsed.success) throw unusable('sends a report that is not understood', parsed.error);
  return parsed.data;
}

/** @returns undefined for what is no JSON, too large, or breaks off. @throws `LateReport` */
async function documentOf(response: Response): Promise<unknown> {
  try {
    return parseJson(await readBody(response, MOST_BYTES));
  } catch (error) {
    response.body?.cancel().catch(() => {});
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause instanceof Error && cause.name === 'TimeoutError') throw new LateReport({ cause });
    return undefined;
  }
}

function unusable(reason: string, cause?: unknown): SppError {
  return new SppError('no-node', reason, { retryAfterS: 1, cause });
}
