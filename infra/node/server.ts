/** The node as a whole: opens the artifact, serves it over HTTP, follows newer versions, drains when told to stop. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InferenceSession } from 'onnxruntime-node';
import type { Logger } from 'pino';
import { openArtifact } from '../../schema/artifact/store.ts';
import { SppError } from '../../schema/errors.ts';
import { flushSubnormals } from '../../schema/flush-subnormals.ts';
import { keepFullPrecision } from '../../schema/full-precision.ts';
import type { NodeReport, NodeState } from '../../schema/node-report.ts';
import { observeCollections } from './collections.ts';
import type { SpawnThread } from './execution/asked-thread.ts';
import { type Heartbeat, startHeartbeat } from './heartbeat.ts';
import { nodeApp } from './http/app.ts';
import { answerConnectionFaults } from './http/connection-faults.ts';
import { answerHalfClosed } from './http/half-closed.ts';
import type { NodeView } from './http/routes.ts';
import { unansweredRequests } from './http/unanswered.ts';
import { type InFlight, inFlight } from './in-flight.ts';
import { createLogger } from './log.ts';
import { nodeMetrics } from './metrics.ts';
import { followActiveVersion, isModelIndex } from './model/active-version.ts';
import { levelModels } from './model/level-models.ts';
import { profileFile } from './model/profile-file.ts';
import { type ServedModel, servedModel } from './model/served-model.ts';
import { type NodeOptions, resolveOptions } from './options.ts';
import { cacheDirectory } from './weights/cache-directory.ts';

export interface RunningNode {
  readonly url: string;
  /** Resolves when the node answers inference requests; rejects when it never will. */
  readonly ready: Promise<void>;
  report(): NodeReport;
  /** Drains: refuses new requests, finishes accepted ones within `drainMs`, ends threads and sockets. Safe to call twice. */
  close(): Promise<void>;
}

/** Parts that a caller may bring along. */
export interface NodeParts {
  readonly log?: Logger;
  readonly spawn?: SpawnThread;
}

/**
 * Longer than proxies and clients keep idle connections, 60 s as a rule, so that it is they who end them: a request that is sent
 * while the node ends its connection fails.
 */
const IDLE_CONNECTION_MS = 75_000;

/** Gateways believe what a node said last for so long, and ask it for the version that it served then. */
const SUPERSEDED_MS = 10_000;

interface Service {
  readonly model: ServedModel;
  readonly inFlight: InFlight;
}

/**
 * Starts a node; it listens when this resolves, and is ready when `ready` resolves.
 * @throws `usage` for wrong options or a port that is taken; `unknown-artifact`, `bad-artifact`, `unauthorized` when the
 *   artifact cannot be opened (a model's index may also answer later)
 */
export async function startNode(options: NodeOptions, parts: NodeParts = {}): Promise<RunningNode> {
  const settings = resolveOptions(options);
  const startedAtMs = Date.now();
  const log = parts.log ?? createLogger(settings.logLevel, settings.name);
  const stop = new AbortController();
  const open = (location: string) =>
    openArtifact(location, {
      signal: stop.signal,
      ...(settings.token === undefined ? {} : { token: settings.token }),
    });
  const following = isModelIndex(settings.artifact);
  const first = following ? undefined : await open(settings.artifact);

  const services = new Set<Service>();
  let state: NodeState = 'starting';
  let current: Service | undefined;
  /** Whose place another one took lately, each with what ends it. */
  const superseded = new Map<Service, NodeJS.Timeout>();
  /** Requests until their answers have been taken. */
  const accepted = inFlight();
  const usable = Promise.withResolvers<void>();
  // Callers that only close the node need not listen.
  usable.promise.catch(() => {});

  if (settings.ep === 'cuda') keepFullPrecision();
  await flushSubnormals((model, options) => InferenceSession.create(model, options));
  const serve = async (artifact: Awaited<ReturnType<typeof open>>) => {
    const directory = await cacheDirectory(artifact, settings.cacheDir);
    if (directory === undefined)
      log.warn(
        { cacheDir: settings.cacheDir },
        'levels are kept in memory one by one, and measured times are not kept: no directory takes files',
      );
    const source = await levelModels({
      artifact,
      ep: settings.ep,
      workers: settings.workers,
      retryAfterS: settings.pollMs / 1000,
      directory,
      log,
    });
    // A node that has stopped meanwhile would never close it.
    if (stop.signal.aborted) return source.close();
    const model = servedModel({
      source,
      workers: settings.workers,
      ep: settings.ep,
      queueLimit: settings.queueLimit,
      lingerMs: settings.lingerMs,
      maxBatch: settings.maxBatch,
      memoryBudgetBytes: settings.memoryBudgetMb * 2 ** 20,
      // A version that takes the place of another is complete first.
      progressive: services.size === 0,
      whole: services.size > 0,
      profiles: directory === undefined ? undefined : profileFile(directory, settings.ep, settings.workers),
      log,
      spawn: parts.spawn,
    });
    const service: Service = { model, inFlight: inFlight() };
    services.add(service);
    try {
      await model.measure(() => take(service));
    } catch (error) {
      await retire(service, 0);
      throw error;
    }
  };

  /** Requests that have begun keep the version they began with, and who names one before still gets it for a while. */
  const take = (service: Service) => {
    if (current === service || state === 'draining') return;
    const previous = current;
    current = service;
    state = 'ready';
    const { id, version } = service.model.manifest.model;
    log.info({ model: id, version, levels: service.model.manifest.levels.length }, 'serving');
    heartbeat?.beat();
    usable.resolve();
    if (previous !== undefined)
      superseded.set(
        previous,
        setTimeout(() => letGo(previous), SUPERSEDED_MS),
      );
  };

  const letGo = (service: Service) => {
    superseded.delete(service);
    retire(service, settings.drainMs).catch((error: unknown) =>
      log.warn({ err: error }, 'a version that is not served any more could not be closed'),
    );
  };

  const retire = async (service: Service, limitMs: number) => {
    if (!(await service.inFlight.idle(limitMs)))
      log.warn({ inFlight: service.inFlight.count }, 'requests did not finish in time and are refused');
    try {
      await service.model.close();
    } finally {
      services.delete(service);
    }
  };

  /** Of all versions that have some. */
  const work = () => {
    let [queueLength, running] = [0, 0];
    for (const { model } of services) {
      queueLength += model.queueLength;
      running += model.inFlight;
    }
    return { queueLength, inFlight: running };
  };

  const report = (): NodeReport => ({
    node: settings.name,
    state,
    reportedAtMs: Date.now(),
    startedAtMs,
    workers: settings.workers,
    ...work(),
    models: current === undefined ? [] : [current.model.report()],
  });

  const node: NodeView = {
    get state() {
      return state;
    },
    get current() {
      return current;
    },
    get superseded() {
      return [...superseded.keys()];
    },
    report,
  };
  const metrics = nodeMetrics(() => ({
    ...work(),
    ready: state === 'ready',
    residentLevels: current?.model.residentLevels ?? 0,
    levelBytes: current?.model.levelBytes ?? 0,
  }));
  const unanswered = unansweredRequests(accepted);
  const app = nodeApp({
    node,
    name: settings.name,
    maxBodyBytes: settings.maxBodyBytes,
    maxBodiesBytes: settings.maxBodiesMb * 2 ** 20,
    token: settings.auth === 'token' ? settings.token : undefined,
    unanswered,
    unreadMs: settings.requestTimeoutMs,
    metrics,
    log,
  });
  const server = createServer(
    {
      requestTimeout: settings.requestTimeoutMs,
      headersTimeout: Math.min(settings.requestTimeoutMs, 20_000),
      // Slow senders are found out within half as much again.
      connectionsCheckingInterval: Math.max(50, settings.requestTimeoutMs / 2),
      noDelay: true,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      // A request without one is answered with a problem, by the application.
      requireHostHeader: false,
    },
    app,
  );
  server.on('checkContinue', app);
  answerConnectionFaults(server, unanswered, log);
  answerHalfClosed(server, unanswered);
  const url = await listen(server, settings.host, settings.port);
  const ignoreCollections = observeCollections(metrics.collected);
  log.info({ url, artifact: settings.artifact, workers: settings.workers, ep: settings.ep }, 'listening');

  const { gateway, registrationToken, heartbeatMs } = settings;
  const heartbeat: Heartbeat | undefined =
    gateway === undefined || registrationToken === undefined
      ? undefined
      : startHeartbeat({ gateway, token: registrationToken, report, intervalMs: heartbeatMs, log });

  const serving =
    first !== undefined
      ? serve(first)
      : followActiveVersion({
          indexUrl: settings.artifact,
          token: settings.token,
          signal: stop.signal,
          intervalMs: settings.pollMs,
          onVersion: async (_version, location) => serve(await open(location)),
          onTrouble: (error) =>
            log.warn({ err: error }, 'the active version cannot be served yet; trying again'),
        });
  serving.catch((error: unknown) => usable.reject(error));

  // Levels that could not be served may have been mended since.
  const mending = setInterval(() => {
    current?.model.measure().catch((error: unknown) => log.warn({ err: error }, 'no level can be served'));
  }, settings.pollMs);

  let closing: Promise<void> | undefined;
  const close = async () => {
    log.info({ inFlight: accepted.count }, 'draining');
    state = 'draining';
    usable.reject(new SppError('interrupted', 'The node was stopped before it was ready.'));
    clearInterval(mending);
    ignoreCollections();
    for (const timer of superseded.values()) clearTimeout(timer);
    stop.abort();
    const goodbye = heartbeat?.goodbye();
    if (!(await accepted.idle(settings.drainMs)))
      log.warn({ inFlight: accepted.count }, 'requests did not finish in time and are refused');
    const closed = once(server, 'close');
    server.close();
    await Promise.all([...services].map((service) => retire(service, 0)));
    await accepted.idle(1000);
    server.closeIdleConnections();
    const lingering = setTimeout(() => server.closeAllConnections(), 1000);
    await closed;
    clearTimeout(lingering);
    await goodbye;
    await serving.catch(() => {});
    log.info('stopped');
  };
  return {
    url,
    ready: usable.promise,
    report,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

async function listen(server: Server, host: string, port: number): Promise<string> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SppError('usage', `The node cannot listen on ${host}:${port}: ${reason}.`, {
      hint: 'Choose another --host or --port.',
      cause,
    });
  }
  const { port: taken } = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${taken}`;
}
