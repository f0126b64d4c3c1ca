/** Money that is set aside before a request is sent, so that what is spent can never exceed what there is. */
export interface Reservation {
  /** Takes what the request cost, at most what was set aside, and frees the rest. */
  settle(nanoUsd: number): void;
  /** Frees all of it: the request was not served. */
  refund(): void;
}

/** @throws to refuse the request */
export type Reserve = (nanoUsd: number) => Reservation | Promise<Reservation>;

const NOTHING: Reservation = { settle() {}, refund() {} };

/** For callers whose spending nobody limits. */
export const unlimited: Reserve = () => NOTHING;
