/** One inference request with all that its way through the gateway needs. */

import type { Reserve } from '../budget/reservation.ts';
import type { Rules } from '../selector/rules.ts';
import type { RequestBackground } from '../state/background.ts';
import type { CatalogModel, CatalogVersion } from '../storage/catalog.ts';
import type { VersionedPolicy } from '../storage/policies.ts';
import type { AttemptContext } from './attempt.ts';
import type { Deadline } from './deadline.ts';
import type { DecisionRecord } from './decision-record.ts';
import type { HedgeCredit } from './hedging.ts';
import type { Trace } from './trace.ts';
import type { Upload } from './upload.ts';

export interface InferenceRequest {
  readonly id: string;
  /** When it came, since the epoch; how long ago that is, is for its deadline to say. */
  readonly atMs: number;
  readonly model: CatalogModel;
  /** The artifact version to go to, asked anew for a second try. */
  readonly route: () => CatalogVersion;
  readonly pinnedLevel: number | undefined;
  /** What the policy and the request's headers say. */
  readonly rules: Rules;
  /** As the client sent it; undefined where the policy's default holds. */
  readonly askedBudgetMs: number | undefined;
  readonly upload: Upload;
  /** Handed on to the node. */
  readonly trace: Trace;
  readonly deadline: Deadline;
  /** Whether something will outlive its answer even when the deadline passes. */
  readonly abortable: boolean;
  /** Headers of the answer that are known before it. */
  readonly told: ReadonlyMap<string, string>;
}

export interface DispatchContext extends AttemptContext {
  readonly background: RequestBackground;
  readonly policy: VersionedPolicy;
  readonly hedges: HedgeCredit;
  /** Share of requests of which a copy goes to a node that nothing was learned of lately. */
  readonly probeShare: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly reserve: Reserve;
  /** Whether `observe` gets the reasons against each candidate. */
  readonly explain?: boolean;
  /** Told of each request once, when it is over. */
  readonly observe?: (record: DecisionRecord) => void;
}
