/** Where a node is, as the operator says. */
export interface NodeAddress {
  readonly name: string;
  /** Without a slash at its end. */
  readonly url: string;
  /** What its prices go by. */
  readonly nodeClass: string;
  /** The operator takes it out of service. */
  readonly draining: boolean;
}
