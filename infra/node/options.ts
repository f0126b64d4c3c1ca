/** The node's options: one schema gives types, defaults and checks to the command line and to callers in process. */
import { availableParallelism, hostname } from 'node:os';
import { z } from 'zod';
import { isRemote } from '../../schema/artifact/store.ts';
import { SppError } from '../../schema/errors.ts';
import { machineMemory } from '../../schema/machine-memory.ts';

export const executionProviders = ['cpu', 'webgpu', 'cuda'] as const;
export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export const authModes = ['none', 'token'] as const;

const positive = z.coerce.number().int().positive();
/** What timers count to; beyond it they would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;
/** As files and secrets hold it, with or without the end of its line. */
const bearerToken = z
  .string()
  .trim()
  .min(1)
  .regex(/^[\x21-\x7e]+$/, 'has a space or another character that no Authorization header carries');

const NOT_BARE =
  'is no address, or has a user, a password, a query or a fragment in it; what the gateway is to be shown goes into NODE_TOKEN';

const nodeOptionsSchema = z.strictObject({
  /** A directory, an artifact version's URL, or a model's index (`.../v1/artifacts/{model}`), whose active version is followed. */
  artifact: z
    .string()
    .min(1)
    .refine((location) => !isRemote(location) || isBare(location), NOT_BARE),
  host: z.string().min(1).default('127.0.0.1'),
  /** 0 takes a free port. */
  port: z.coerce.number().int().min(0).max(65_535).default(8788),
  /** How the node calls itself in reports and logs. */
  name: z.string().min(1).max(128).default(hostname()),
  /** Threads that run the model: one a core, or one alone that feeds a GPU. */
  workers: positive.max(512).optional(),
  ep: z.enum(executionProviders).default('cpu'),
  maxBodyBytes: positive.max(2 ** 30).default(8 * 2 ** 20),
  /** For the bodies of all requests that have no answer yet. */
  maxBodiesMb: positive.default(defaultMaxBodiesMb),
  /** How long a sender may take for a whole request, and a client take nothing of its answer. */
  requestTimeoutMs: positive.max(LONGEST_MS).default(60_000),
  /** Requests that may wait for a worker. */
  queueLimit: positive.default(256),
  /** Most rows of requests that share a run; 1 gives each request a run of its own. */
  maxBatch: positive.max(1024).default(8),
  /**
   * How long one thread stays awake for the next request after a run that was the only one: what runs on a core that has
   * slept takes longer. 0 on a machine of one core.
   */
  lingerMs: z.coerce
    .number()
    .min(0)
    .max(1000)
    .default(availableParallelism() > 1 ? 2 : 0),
  /** For levels in memory; the sparsest level stays whatever it takes. */
  memoryBudgetMb: positive.default(defaultMemoryBudgetMb),
  /** Where weights are kept to be mapped, and what was measured: beside an artifact in a directory, else in the user's cache. */
  cacheDir: z.string().min(1).optional(),
  logLevel: z.enum(logLevels).default('info'),
  /** `none` is the default only on a loopback host, and with no gateway but one of this machine. */
  auth: z.enum(authModes).optional(),
  /** Bearer token: shown to the gateway, and asked of callers under `auth: token`. */
  token: bearerToken.optional(),
  /** Address of a gateway that the node tells of itself; needs `registrationToken`. */
  gateway: z
    .url({ protocol: /^https?$/ })
    .refine(isBare, NOT_BARE)
    .optional(),
  /** Made by the gateway when an operator registers the node: `POST /v1/nodes`. */
  registrationToken: bearerToken.optional(),
  /** Between reports to the gateway, give or take a fifth. */
  heartbeatMs: positive.max(30_000).default(2000),
  /** How long accepted requests may take to finish when the node stops. */
  drainMs: z.coerce.number().int().nonnegative().max(LONGEST_MS).default(10_000),
  /** Between looks for a newer active version, and between tries at levels that could not be served. */
  pollMs: positive.max(LONGEST_MS).default(5000),
});

/** Whether a URL is an address and no more: the rest is a secret as a rule, would stand in the log, and gets no file. */
function isBare(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { username, password, search, hash } = new URL(url);
  return username + password + search + hash === '';
}

/** Half of what this process may have. */
function defaultMemoryBudgetMb(): number {
  return Math.max(64, Math.floor(machineMemory() / 2 / 2 ** 20));
}

/** An eighth: tensors that are read of JSON take as much again, or a few times that. */
function defaultMaxBodiesMb(): number {
  return Math.max(64, Math.floor(machineMemory() / 8 / 2 ** 20));
}

/** What comes from the environment, so that no list of processes shows it. */
const environment: Readonly<Record<string, string>> = {
  token: 'NODE_TOKEN',
  registrationToken: 'REGISTRATION_TOKEN',
};

export type NodeOptions = z.input<typeof nodeOptionsSchema>;
export type ResolvedNodeOptions = z.output<typeof nodeOptionsSchema> & {
  auth: (typeof authModes)[number];
  workers: number;
};

/** @throws `usage` naming the option and what was wrong with it, or when a host that others can reach would be left open */
export function resolveOptions(options: NodeOptions): ResolvedNodeOptions {
  const parsed = nodeOptionsSchema.safeParse(options);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(
      ({ path, message }) => `${called(String(path[0] ?? ''))}: ${message}`,
    );
    throw new SppError('usage', `The options are not valid: ${faults.join('; ')}.`, {
      hint: 'See --help for what each option takes.',
    });
  }
  const { ep, workers = ep === 'cpu' ? availableParallelism() : 1 } = parsed.data;
  const resolved = { ...parsed.data, workers };
  if (resolved.queueLimit < resolved.workers)
    throw new SppError(
      'usage',
      `--queue-limit ${resolved.queueLimit} is below the ${resolved.workers} workers it has to feed.`,
      { hint: `Give --queue-limit ${resolved.workers} or more, or fewer --workers.` },
    );
  if ((resolved.gateway === undefined) !== (resolved.registrationToken === undefined))
    throw new SppError(
      'usage',
      resolved.gateway === undefined
        ? 'REGISTRATION_TOKEN is set, but --gateway does not say for which gateway.'
        : '--gateway is given, but REGISTRATION_TOKEN is not set.',
      { hint: 'An operator registers the node with POST /v1/nodes, which shows its token.' },
    );
  const auth = resolved.auth ?? (calledFromHere(resolved) ? 'none' : 'token');
  if (auth === 'token' && resolved.token === undefined)
    throw new SppError('usage', `The node would ask callers for a token, but NODE_TOKEN is not set.`, {
      hint: isLoopback(resolved.host)
        ? resolved.auth === undefined
          ? 'Set NODE_TOKEN: a gateway elsewhere reaches the node by a way that others can take, too.'
          : 'Set NODE_TOKEN, or leave --auth token out.'
        : `Set NODE_TOKEN: --host ${resolved.host} can be reached by others.`,
    });
  return { ...resolved, auth };
}

/**
 * Whether all callers are on this machine. What a gateway elsewhere calls is reached from outside, through whatever stands before a
 * loopback host.
 */
function calledFromHere({
  host,
  gateway,
}: {
  readonly host: string;
  readonly gateway?: string | undefined;
}): boolean {
  if (!isLoopback(host)) return false;
  return gateway === undefined || isLoopback(new URL(gateway).hostname.replace(/^\[|\]$/g, ''));
}

/** Whether only this machine can reach a host. A name counts only if it is `localhost`: others may resolve to anything. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** As people set it. */
function called(option: string): string {
  return environment[option] ?? `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
