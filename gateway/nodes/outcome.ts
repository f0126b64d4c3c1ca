/** What the fleet is told of each request: when it is sent, and what came of it. */
import type { CutOffSample, RequestSample } from './measured-times.ts';

/** What came of a request that was sent to a node. A client that left, or another node that was quicker, says nothing. */
export type Outcome =
  | { readonly kind: 'answered'; readonly sample: RequestSample }
  | ({
      readonly kind: 'cut-off';
      /** It had as long as it was predicted to take, and more, and said nothing. */
      readonly fault: boolean;
      /** The node itself says that it ran out. */
      readonly answered?: boolean;
    } & CutOffSample)
  /** The node cannot be reached, or answers that it is broken. */
  | { readonly kind: 'failed'; readonly reason: string; readonly unreachable: boolean }
  | { readonly kind: 'unknown'; readonly answered?: boolean };

/** What is known of a request that is sent to a node. */
export interface Sent {
  /** How long it usually executes there. */
  readonly executeMs?: number;
  /** Its deadline. */
  readonly endMs?: number;
  /** A copy that only shows how the node is. */
  readonly probe?: boolean;
  /** The quantile of its predicted time that fits its budget; none where nothing was promised. */
  readonly promised?: number | undefined;
}
