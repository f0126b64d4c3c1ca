/** What is set aside before a request is sent, so that what is spent can never exceed what there is. */
export interface Reservation {
  /** Whole units; more than was reserved counts as what was reserved. Only the first of settle and refund counts. */
  settle(units: number): void;
  /** Frees all of it: the request was not served. */
  refund(): void;
}

/** @throws to refuse the request */
export type Reserve = (nanoUsd: number) => Reservation | Promise<Reservation>;

/** Of what costs nothing, or what nobody counts. */
export const nothing: Reservation = { settle: () => {}, refund: () => {} };

/** For callers whose spending nobody limits. */
export const unlimited: Reserve = () => nothing;
