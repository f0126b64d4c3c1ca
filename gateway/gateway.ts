/** All that an isolate holds between requests: settings, stores, and its copies of policy, catalog, keys and fleet. */
import {
  type ApiKeyRow,
  apiKeys,
  nodes as nodeTable,
  type OperatorTokenRow,
  operatorTokens,
} from '../schema/db/tables.ts';
import { SppError } from '../schema/errors.ts';
import type { ProvenKeys } from './auth/bearer.ts';
import { pooledRandomHex, randomHex } from './auth/digests.ts';
import { heldTokens } from './auth/held-tokens.ts';
import { type OidcVerifier, oidcVerifier } from './auth/oidc.ts';
import { type LedgerClient, type Purses, purses } from './budget/purses.ts';
import { type DecisionLog, decisionLog } from './decisions/decision-log.ts';
import { type HedgeCredit, hedgeCredit } from './inference/hedging.ts';
import { type TimerLateness, timerLateness } from './inference/timer-lateness.ts';
import { logEvent, logFailure } from './log.ts';
import { type GatewayMetrics, gatewayMetrics } from './metrics/metrics.ts';
import { type Fleet, fleet } from './nodes/fleet.ts';
import { type NodeNetwork, nodeNetwork } from './nodes/node-network.ts';
import { type NodeSecrets, nodeSecrets } from './nodes/node-secrets.ts';
import { fetchReport } from './nodes/report-client.ts';
import { type Roster, roster } from './nodes/roster.ts';
import { type Bindings, readSettings, type Settings } from './settings.ts';
import { type Background, type Cell, cell } from './state/cell.ts';
import type { CellMap } from './state/cell-map.ts';
import { type SteadyClock, steadyClock } from './state/steady-clock.ts';
import { type Catalog, loadCatalog, sameCatalogs } from './storage/catalog.ts';
import { type Database, openDatabase } from './storage/database.ts';
import { writeDecisions } from './storage/decisions.ts';
import { findKey } from './storage/keys.ts';
import { findNodeCredentials, listNodes, type NodeCredentials } from './storage/nodes.ts';
import { findOperatorToken } from './storage/operator-tokens.ts';
import { type PolicyInForce, policyInForce, samePolicies } from './storage/policies.ts';
import { listPrefixes, type PrefixedTable } from './storage/prefixes.ts';

/** What every inference goes by. */
export interface Known {
  readonly policy: PolicyInForce;
  readonly catalog: Catalog;
}

export interface Gateway {
  readonly settings: Settings;
  readonly db: Database;
  readonly bucket: R2Bucket;
  readonly policy: Cell<PolicyInForce>;
  readonly catalog: Cell<Catalog>;
  /** Both, and the fleet up to date: what has to be read for it is read at the same time. */
  readonly known: (background: Background) => Known | Promise<Known>;
  /** By prefix; null for a prefix that no key has. */
  readonly keys: CellMap<ApiKeyRow | null>;
  readonly operatorTokens: CellMap<OperatorTokenRow | null>;
  readonly nodeTokens: CellMap<NodeCredentials | null>;
  readonly oidc: OidcVerifier | undefined;
  readonly proven: ProvenKeys;
  readonly purses: Purses;
  /** Of a key; there is one in the world. */
  readonly ledgerOf: (keyId: string) => LedgerClient;
  /** Follows the roster by itself. */
  readonly fleet: Fleet;
  readonly roster: Roster;
  readonly nodeNetwork: NodeNetwork;
  readonly nodeSecrets: NodeSecrets;
  /** Of the operator's console; undefined where the deployment has none. */
  readonly consoleFiles: Pick<Fetcher, 'fetch'> | undefined;
  readonly decisions: DecisionLog;
  readonly metrics: GatewayMetrics;
  readonly hedges: HedgeCredit;
  readonly timerLateness: TimerLateness;
  /** So many random bytes as hex, for the names of requests and traces. */
  readonly randomHex: (bytes: number) => string;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Milliseconds since the epoch: for dates, and for what others know by them. */
  readonly now: () => number;
  /** For how long ago something was, and how long it takes. */
  readonly steady: SteadyClock;
}

/** How long a change made through another isolate may go unseen here. */
const FOLLOWED_WITHIN_MS = 5000;
/** Copies are read again behind requests sooner than they must be, so that no request of steady traffic ever waits for them. */
const TTL_MS = 2000;

/** @throws `not-ready` when the bindings are incomplete */
export function createGateway(
  bindings: Bindings,
  now: () => number = Date.now,
  random: () => number = Math.random,
): Gateway {
  const settings = readSettings({ ...bindings });
  const db = openDatabase(bindings.DB);
  const steady = steadyClock(now);
  const held = <T>(
    what: string,
    load: (known: T | undefined) => Promise<T>,
    same?: (held: T, loaded: T) => boolean,
  ) =>
    cell<T>({
      load: (known) => load(known).catch((cause: unknown) => unreadable(what, cause)),
      ...(same === undefined ? {} : { same }),
      ttlMs: TTL_MS,
      waitFromMs: FOLLOWED_WITHIN_MS,
      now,
      onError: (error) => logFailure('refresh failed', error, { what }),
    });
  const tokens = <T>(what: string, table: PrefixedTable, load: (prefix: string) => Promise<T | null>) =>
    heldTokens<T>({
      load: (prefix) => load(prefix).catch((cause: unknown) => unreadable(what, cause)),
      prefixes: (most) => listPrefixes(db, table, most).catch((cause: unknown) => unreadable(what, cause)),
      now,
      onError: (error) => logFailure('refresh failed', error, { what }),
    });
  const { LEDGERS } = bindings;
  const ledgerOf = (keyId: string) => LEDGERS.get(LEDGERS.idFromName(keyId));
  const secrets = nodeSecrets(settings.nodeToken, settings.nodeTokenBefore);
  const network = nodeNetwork(bindings.NODE_NETWORK);
  const nodes = fleet({
    nodes: settings.nodes,
    now: steady.now,
    fetchReport: (node) => fetchReport(node, secrets, network),
  });
  const members = roster({
    listed: settings.nodes,
    registered: held('fleet', () => listNodes(db)),
    fleet: nodes,
    now,
    at: steady.at,
  });
  const policies = held('policy', (known) => policyInForce(db, known), samePolicies);
  const catalogs = held('catalog', (known) => loadCatalog(db, known), sameCatalogs);
  return {
    settings,
    db,
    bucket: bindings.ARTIFACTS,
    policy: policies,
    catalog: catalogs,
    known(background) {
      const policy = policies.get(background);
      const catalog = catalogs.get(background);
      const following = members.follow(background);
      if (!(policy instanceof Promise || catalog instanceof Promise || following instanceof Promise))
        return { policy, catalog };
      const all = Promise.all([policy, catalog, following]);
      return all.then(([inForce, models]) => ({ policy: inForce, catalog: models }));
    },
    keys: tokens('key', apiKeys, (prefix) => findKey(db, prefix)),
    operatorTokens: tokens('operator token', operatorTokens, (prefix) => findOperatorToken(db, prefix)),
    nodeTokens: tokens('node', nodeTable, (prefix) => findNodeCredentials(db, prefix)),
    decisions: decisionLog({
      async write(batch) {
        if (settings.logDecisions)
          for (const { record, keyId, weight } of batch) logEvent('decision', { ...record, keyId, weight });
        await writeDecisions(db, batch, now());
      },
      now: steady.now,
      random,
      pause: (ms) => new Promise((done) => setTimeout(done, ms)),
      onError: (error) => logFailure('decisions were not kept', error),
    }),
    purses: purses({ ledgerOf, now, onError: (error) => logFailure('purse', error) }),
    ledgerOf,
    oidc: settings.oidc === undefined ? undefined : oidcVerifier(settings.oidc),
    proven: new Map(),
    fleet: {
      ...nodes,
      refresh(background, ...models) {
        const following = members.follow(background);
        if (following instanceof Promise) return following.then(() => nodes.refresh(background, ...models));
        return nodes.refresh(background, ...models);
      },
    },
    roster: members,
    metrics: gatewayMetrics(randomHex(4), nodes),
    hedges: hedgeCredit(),
    timerLateness: timerLateness(),
    nodeNetwork: network,
    nodeSecrets: secrets,
    consoleFiles: bindings.CONSOLE,
    randomHex: pooledRandomHex(),
    random,
    now,
    steady,
  };
}

function unreadable(what: string, cause: unknown): never {
  if (cause instanceof SppError) throw cause;
  throw new SppError('not-ready', `The ${what} cannot be read at the moment.`, {
    hint: 'Try again in a moment.',
    retryAfterS: 1,
    cause,
  });
}
