/**
 * An isolate's share of one account: leases from the ledger, from which requests take without asking anybody.
 *
 *   take ──> reserved ──> settle(spent)  what was not spent goes back into the lease
 *                    └──> refund()
 *
 * Each request that finds too little asks the ledger itself: the runtime ties I/O to its request, so no request may wait
 * for another's call. What it gets beyond its need is there for the others.
 */
import type { Account, Exchange, ExchangeAnswer } from './ledger.ts';
import { nothing, type Reservation } from './reservation.ts';

export interface Standing {
  readonly limit: number;
  /** What is left for all, as far as this isolate knows. */
  readonly remaining: number;
  readonly endsAtMs: number | null;
}

export type Taken =
  | { readonly kind: 'reserved'; readonly reservation: Reservation }
  /** `heldElsewhere`: some of it is leased and may come back. */
  | { readonly kind: 'exhausted'; readonly heldElsewhere: boolean; readonly standing: Standing };

export interface PurseOptions {
  readonly account: () => Account;
  /** Asks the ledger. */
  readonly exchange: (exchange: Exchange) => Promise<ExchangeAnswer>;
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<void>;
  readonly newId: () => string;
}

interface Lease {
  readonly id: string;
  readonly units: number;
  /** Of the limit that it was asked under: under another one nothing more is taken from it. */
  readonly revision: number;
  readonly expiresAtMs: number;
  left: number;
  reserved: number;
  spent: number;
  usedAtMs: number;
}

/** Requests' worth in one lease, where the ledger has that much. */
const WANT = 16;
/** A lease that nobody has used for this long goes back, for others to have. */
const IDLE_MS = 1000;
/** How often a request looks for what other calls of its isolate have brought. */
const PAUSE_MS = 2;
/** A call that is under way for longer was cancelled with its request. */
const CALL_LOST_MS = 1000;
/** To a clock that is ahead of the ledger's every lease has ended when it comes: such a request would ask for ever. */
const MOST_GRANTS = 64;
/** A reservation so long after its lease's end was cancelled with its request, and counts as spent. */
const ABANDONED_MS = 600_000;

export class Purse {
  readonly #options: PurseOptions;
  readonly #leases: Lease[] = [];
  /** Given back, but not yet heard by the ledger. */
  #closing: { id: string; spent: number }[] = [];
  /** When each call under way began. */
  readonly #asking = new Set<{ readonly sinceMs: number }>();
  #last: { readonly answer: ExchangeAnswer; readonly revision: number; readonly atMs: number } | undefined;

  constructor(options: PurseOptions) {
    this.#options = options;
  }

  /**
   * @param keep gets what must come to its end even where the request does not wait for it: a lease that nobody hears of counts as spent
   * @throws what the ledger's call throws: without its word nothing is spent
   */
  async take(units: number, keep: (asking: Promise<unknown>) => void = () => {}): Promise<Taken> {
    if (units === 0) return { kind: 'reserved', reservation: nothing };
    let denied = Number.POSITIVE_INFINITY;
    for (let grants = 0; ; ) {
      const reservation = this.#takeHere(units);
      if (reservation !== undefined) return { kind: 'reserved', reservation };
      const need = this.#needFor(units);
      if (this.#isGone(need)) return { kind: 'exhausted', heldElsewhere: false, standing: this.standing() };
      const asking = this.#ask(need, units);
      keep(asking.catch(() => {}));
      const answer = await asking;
      if (answer.granted > 0 && ++grants < MOST_GRANTS) continue;
      denied = Math.min(denied, need);
      const late = await this.#fromOthers(units);
      if (late !== undefined) return { kind: 'reserved', reservation: late };
      // With what others have brought, the ledger may have the rest: smaller needs only, so that this ends.
      if (this.#needFor(units) >= denied)
        return { kind: 'exhausted', heldElsewhere: answer.leased > 0, standing: this.standing() };
    }
  }

  standing(): Standing {
    const { limit } = this.#options.account();
    if (this.#last === undefined) return { limit, remaining: limit, endsAtMs: null };
    const { answer } = this.#last;
    const nowMs = this.#options.now();
    if (answer.endsAtMs !== null && nowMs >= answer.endsAtMs)
      return { limit, remaining: limit, endsAtMs: null };
    const here = this.#usable(nowMs).reduce((sum, lease) => sum + lease.left, 0);
    return { limit: answer.limit, remaining: answer.remaining + here, endsAtMs: answer.endsAtMs };
  }

  /** Whether there is anything that `maintain` will have to give back. */
  get open(): boolean {
    return this.#leases.length + this.#closing.length > 0;
  }

  /**
   * Gives back what is used up, expired or idle. To be called a while after requests.
   * @param all also what has just been used, where no request has hold of it
   */
  async maintain(all = false): Promise<void> {
    this.#retire(all);
    if (this.#closing.length === 0) return;
    await this.#exchange(undefined);
  }

  #takeHere(units: number): Reservation | undefined {
    const nowMs = this.#options.now();
    const usable = this.#usable(nowMs);
    if (usable.reduce((sum, lease) => sum + lease.left, 0) < units) return undefined;
    const parts: { lease: Lease; units: number }[] = [];
    let missing = units;
    for (const lease of usable) {
      const part = Math.min(lease.left, missing);
      if (part === 0) continue;
      lease.left -= part;
      lease.reserved += part;
      lease.usedAtMs = nowMs;
      parts.push({ lease, units: part });
      missing -= part;
    }
    let over = false;
    const settle = (spentUnits: number) => {
      if (over) return;
      over = true;
      let spent = Math.min(Math.max(0, Math.ceil(spentUnits)), units);
      for (const { lease, units: part } of parts) {
        const here = Math.min(part, spent);
        lease.reserved -= part;
        lease.spent += here;
        lease.left += part - here;
        spent -= here;
      }
    };
    return { settle, refund: () => settle(0) };
  }

  /**
   * Whether the ledger has said what it will say to the end of the period: there is not as much left, and nobody holds anything that
   * could come back. Whoever goes on asking for what is spent costs no more calls.
   */
  #isGone(need: number): boolean {
    if (this.#last === undefined) return false;
    const { answer, revision, atMs } = this.#last;
    const nowMs = this.#options.now();
    return (
      need > answer.remaining &&
      answer.leased === 0 &&
      revision === this.#options.account().revision &&
      nowMs >= atMs &&
      (answer.endsAtMs === null || nowMs < answer.endsAtMs)
    );
  }

  #usable(nowMs: number): Lease[] {
    const { revision } = this.#options.account();
    return this.#leases.filter((lease) => nowMs < lease.expiresAtMs && lease.revision === revision);
  }

  /** What is missing here, at least one unit. */
  #needFor(units: number): number {
    const here = this.#usable(this.#options.now()).reduce((sum, lease) => sum + lease.left, 0);
    return Math.max(1, units - here);
  }

  async #ask(need: number, units: number): Promise<ExchangeAnswer> {
    const lease = { id: this.#options.newId(), need, want: Math.max(need, WANT * units) };
    this.#retire(false);
    const { revision } = this.#options.account();
    const answer = await this.#exchange(lease);
    if (answer.granted > 0)
      this.#leases.push({
        id: lease.id,
        units: answer.granted,
        revision,
        expiresAtMs: answer.expiresAtMs,
        left: answer.granted,
        reserved: 0,
        spent: 0,
        usedAtMs: this.#options.now(),
      });
    return answer;
  }

  async #exchange(lease: Exchange['lease']): Promise<ExchangeAnswer> {
    const closes = this.#closing;
    this.#closing = [];
    const call = { sinceMs: this.#options.now() };
    this.#asking.add(call);
    const account = this.#options.account();
    try {
      const answer = await this.#options.exchange({ account, lease, closes });
      this.#last = { answer, revision: account.revision, atMs: call.sinceMs };
      return answer;
    } catch (error) {
      this.#closing.push(...closes);
      // The ledger may have made the lease all the same: nothing of it was spent.
      if (lease !== undefined) this.#closing.push({ id: lease.id, spent: 0 });
      throw error;
    } finally {
      this.#asking.delete(call);
    }
  }

  /** What the calls that are under way now bring beyond their own need. */
  async #fromOthers(units: number): Promise<Reservation | undefined> {
    const calls = [...this.#asking];
    for (;;) {
      const reservation = this.#takeHere(units);
      if (reservation !== undefined) return reservation;
      const nowMs = this.#options.now();
      if (!calls.some((call) => this.#asking.has(call) && Math.abs(nowMs - call.sinceMs) < CALL_LOST_MS))
        return undefined;
      await this.#options.pause(PAUSE_MS);
    }
  }

  #retire(all: boolean): void {
    const nowMs = this.#options.now();
    const usable = new Set(this.#usable(nowMs));
    for (const lease of this.#leases.slice()) {
      const over = lease.left === 0 || !usable.has(lease) || Math.abs(nowMs - lease.usedAtMs) >= IDLE_MS;
      const abandoned = nowMs >= lease.expiresAtMs + ABANDONED_MS;
      if ((lease.reserved > 0 && !abandoned) || !(over || all)) continue;
      this.#leases.splice(this.#leases.indexOf(lease), 1);
      this.#closing.push({ id: lease.id, spent: lease.spent + lease.reserved });
    }
  }
}
