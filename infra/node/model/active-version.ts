/** Which artifact version to serve, where the location leaves that to the gateway. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { SppError } from '../../../schema/errors.ts';
import { artifactVersionSchema, modelIdSchema } from '../../../schema/manifest.ts';

const indexSchema = z.looseObject({
  model: modelIdSchema,
  active: artifactVersionSchema.nullable(),
  versions: z.array(z.unknown()),
});

const REQUEST_TIMEOUT_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
const LONGEST_RETRY_MS = 300_000;
const FOR_GOOD: ReadonlySet<string> = new Set(['unauthorized', 'backend-unavailable']);

/** Whether a location is a model's index (`.../v1/artifacts/{model}`) rather than one version or a directory. */
export function isModelIndex(location: string): boolean {
  return /^https?:\/\/[^?#]*\/artifacts\/[^/?#]+\/?$/.test(location);
}

export interface FollowOptions {
  readonly indexUrl: string;
  readonly token: string | undefined;
  /** Ends the following. */
  readonly signal: AbortSignal;
  /** Between polls once a version is served. */
  readonly intervalMs: number;
  /**
   * Called with each newly active version. One that throws is tried again: at the next poll where nothing is served yet, else ever more
   * seldom, as each try reads and measures all of it beside what is served.
   */
  readonly onVersion: (version: string, url: string) => Promise<void>;
  /** What keeps it from serving the active version. Called once for each new reason, not for each poll. */
  readonly onTrouble: (error: unknown) => void;
}

/**
 * Polls the index until aborted: quickly at first, backing off while there is nothing to serve.
 * @throws `unauthorized` and `backend-unavailable`, which no waiting mends, as long as nothing is served yet
 */
export async function followActiveVersion(options: FollowOptions): Promise<void> {
  const { signal, intervalMs, onVersion, onTrouble } = options;
  const base = options.indexUrl.replace(/\/$/, '');
  let served: string | undefined;
  let trouble: string | undefined;
  let pauseMs = FIRST_PAUSE_MS;
  /** The version that could not be taken into service, and when it is its turn again. */
  let failed: { readonly version: string; readonly tries: number; readonly againMs: number } | undefined;
  const isDue = (version: string) =>
    served === undefined || failed?.version !== version || performance.now() >= failed.againMs;
  const attempt = async (version: string) => {
    try {
      await onVersion(version, `${base}/${version}`);
    } catch (error) {
      const tries = failed?.version === version ? failed.tries + 1 : 1;
      const waitMs = Math.min(LONGEST_RETRY_MS, intervalMs * 2 ** (tries - 1));
      failed = { version, tries, againMs: performance.now() + waitMs };
      throw error;
    }
    served = version;
  };
  while (!signal.aborted) {
    try {
      const active = await fetchActive(base, options.token, signal);
      if (active === null && served === undefined)
        throw new SppError('not-ready', `No version is active at ${base} yet.`, {
          hint: 'Upload one with `npm run -s trainer -- upload DIR --to URL`; the node goes on looking.',
        });
      if (active !== null && active !== served && isDue(active)) await attempt(active);
      if (active === served) failed = undefined;
      if (failed === undefined) trouble = undefined;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof SppError && FOR_GOOD.has(error.code) && served === undefined) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== trouble) onTrouble(error);
      trouble = reason;
    }
    await sleep(served === undefined ? pauseMs : intervalMs, undefined, { signal }).catch(() => {});
    pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
  }
}

async function fetchActive(
  base: string,
  token: string | undefined,
  signal: AbortSignal,
): Promise<string | null> {
  const response = await fetch(base, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
  }).catch((cause: unknown) => {
    throw new SppError('not-ready', `${base} cannot be reached.`, {
      hint: 'See to it that the gateway runs and --artifact is its address; the node goes on trying.',
      cause,
    });
  });
  if (!response.ok) {
    await response.body?.cancel();
    const message = `${base} answered ${response.status}.`;
    if (response.status !== 401 && response.status !== 403) throw new SppError('not-ready', message);
    throw new SppError('unauthorized', message, {
      hint: 'Set NODE_TOKEN to the token that the gateway expects of nodes.',
    });
  }
  const parsed = indexSchema.safeParse(await response.json().catch(() => undefined));
  if (!parsed.success)
    throw new SppError('not-ready', `${base} does not answer with a model's index.`, {
      hint: 'A gateway has them at /v1/artifacts/{model}.',
    });
  return parsed.data.active;
}
