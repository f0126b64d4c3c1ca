/** How the runtime's engine collects garbage. */

/** By which Miniflare is told. */
const VARIABLE = 'MINIFLARE_WORKERD_V8_FLAGS';

/**
 * What workers ask with and answer with is given back only when all of the heap is collected, and then all of it at once, while nobody is
 * answered: 10,000 requests and 0.2 s by the engine's own rules, which let the heap grow to several times what lives in it. With these it is
 * a third of that, for no more work in all.
 */
const SHORT_PAUSES = '--max-semi-space-size=8 --heap-growing-percent=20';

/** For every Miniflare of this process from now on, unless whoever started it has set flags. */
export function keepPausesShort(environment: NodeJS.ProcessEnv = process.env): void {
  environment[VARIABLE] ??= SHORT_PAUSES;
}
