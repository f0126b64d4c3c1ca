/** The ledger of one key, as a Durable Object: there is one of it in the world, and its SQLite outlives it. */
import { DurableObject } from 'cloudflare:workers';
import { type Account, type Exchange, type ExchangeAnswer, Ledger, type LedgerView } from './ledger.ts';

export class KeyLedger extends DurableObject {
  readonly #ledger: Ledger;

  constructor(state: DurableObjectState, environment: unknown) {
    super(state, environment as Cloudflare.Env);
    const { sql } = state.storage;
    this.#ledger = new Ledger({
      exec: (query, ...values) => sql.exec(query, ...values).toArray() as Record<string, unknown>[],
    });
  }

  exchange(exchange: Exchange): ExchangeAnswer {
    return this.#ledger.exchange(exchange, Date.now());
  }

  view(account: Account): LedgerView {
    return this.#ledger.view(account, Date.now());
  }
}
