/** The gateway on this machine: the bundled Worker in workerd, with D1 and R2 kept on disk or in memory. */
import { once } from 'node:events';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import { Miniflare } from 'miniflare';
import { SppError } from '../../schema/errors.ts';
import { bundleWorker } from './bundle-worker.ts';
import { noteChildren } from './end-with-parent.ts';
import { migrate } from './migrate.ts';
import { keepPausesShort } from './runtime-flags.ts';

export interface LocalGatewayOptions {
  /** 0 takes a free one. */
  readonly port: number;
  readonly nodes: readonly { readonly name: string; readonly url: string }[];
  readonly operatorToken: string;
  readonly nodeToken: string;
  readonly keyPepper: string;
  /** Where D1 and R2 are kept; without it they end with the process. */
  readonly dataDir?: string;
  readonly vars?: Readonly<Record<string, string>>;
  /** Where the operator's console was built; without it there is none. */
  readonly consoleDir?: string;
  /** Miniflare's handlers of SIGINT and SIGTERM end the process at once; whoever has more to close than this handles them. */
  readonly callerHandlesSignals?: boolean;
}

export interface LocalGateway {
  /** Without a slash at its end. */
  readonly url: string;
  close(): Promise<void>;
  /** How its runtime ended, be it by `close` or by itself. */
  readonly ended: Promise<string>;
}

/** Kept in step with wrangler.toml by its test. */
export const COMPATIBILITY_DATE = '2026-07-01';

/** Where clouds keep their machines' credentials: no node is there, whatever a node's name leads to. */
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10'];

/**
 * Straight to the nodes: what a worker fetches otherwise goes through a worker of Miniflare's, which takes a third of a request's time.
 * Addresses are held to it as they are connected to, after their names were looked up.
 */
export const nodeNetwork = (privateToo: boolean) => ({
  network: {
    allow: privateToo ? ['public', 'private'] : ['public', 'local'],
    deny: LINK_LOCAL,
    tlsOptions: {
      trustBrowserCas: true,
      trustedCertificates: getCACertificates(process.platform === 'win32' ? 'default' : 'extra'),
    },
  },
});

export async function startLocalGateway(options: LocalGatewayOptions): Promise<LocalGateway> {
  const { port, dataDir } = options;
  keepPausesShort();
  const script = await bundleWorker();
  const handlers = signalHandlers();
  const runtimes = noteChildren('workerd');
  const miniflare = new Miniflare({
    modules: true,
    script,
    compatibilityDate: COMPATIBILITY_DATE,
    host: '127.0.0.1',
    // Requests reach the gateway itself, not Miniflare's own worker before it, which takes as much time again.
    unsafeDirectSockets: [{ host: '127.0.0.1', port }],
    // Otherwise it asks the network for what a request's metadata would be.
    cf: false,
    d1Databases: { DB: 'solution-path' },
    r2Buckets: { ARTIFACTS: 'solution-path-artifacts' },
    serviceBindings: {
      NODE_NETWORK: nodeNetwork(options.vars?.PRIVATE_NODES === 'on'),
      ...(options.consoleDir === undefined ? {} : { CONSOLE: { disk: { path: options.consoleDir } } }),
    },
    durableObjects: { LEDGERS: { className: 'KeyLedger', useSQLite: true } },
    ...(dataDir === undefined
      ? {}
      : {
          d1Persist: join(dataDir, 'd1'),
          r2Persist: join(dataDir, 'r2'),
          durableObjectsPersist: join(dataDir, 'ledgers'),
        }),
    bindings: {
      NODES: JSON.stringify(options.nodes),
      OPERATOR_TOKEN: options.operatorToken,
      NODE_TOKEN: options.nodeToken,
      KEY_PEPPER: options.keyPepper,
      SAYS_CONTINUE: 'off',
      ...options.vars,
    },
  });
  if (options.callerHandlesSignals) removeOtherHandlers(handlers);
  try {
    await miniflare.ready;
    const url = await miniflare.unsafeGetDirectURL();
    await migrate(await miniflare.getD1Database('DB'));
    const running = runtimes();
    const ended = Promise.race(running.map(({ child }) => once(child, 'exit'))).then(
      ([code, signal]) => `ended with ${signal ?? `code ${code}`}`,
    );
    const dispose = async () => {
      await miniflare.dispose();
      for (const { letGo } of running) letGo();
    };
    let closed: Promise<void> | undefined;
    return { url: url.origin, close: () => (closed ??= dispose()), ended };
  } catch (cause) {
    const running = runtimes();
    await miniflare.dispose().catch(() => {});
    for (const { letGo } of running) letGo();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SppError('internal', `The gateway did not start on port ${port}: ${reason}`, { cause });
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

function signalHandlers(): Set<NodeJS.SignalsListener> {
  return new Set(SIGNALS.flatMap((signal) => process.listeners(signal)));
}

/** Removes the signal handlers that were added since; the runtime still ends with the process. */
function removeOtherHandlers(kept: ReadonlySet<NodeJS.SignalsListener>): void {
  for (const signal of SIGNALS) {
    for (const listener of process.listeners(signal)) if (!kept.has(listener)) process.off(signal, listener);
  }
}
