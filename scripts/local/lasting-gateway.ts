/** A gateway on this machine that is started again, at the same address, when its runtime ends by itself; but not for ever. */
import { setTimeout as pause } from 'node:timers/promises';
import { type LocalGateway, type LocalGatewayOptions, startLocalGateway } from './local-gateway.ts';

/** In a row; one that has run for a minute begins a new row. */
const RESTARTS = 5;
const STEADY_MS = 60_000;
/** Before the first restart; each next one waits twice as long. */
const PAUSE_MS = 500;
/** Ctrl-C reaches the runtime as well as this process, which then closes: an end that this one asks for so soon after is no failure. */
const CLOSES_WITHIN_MS = 100;

/** @throws as `startLocalGateway` does, where it does not start at all */
export async function lastingGateway(
  options: LocalGatewayOptions,
  log: (line: string) => void,
): Promise<Pick<LocalGateway, 'url' | 'close'>> {
  let gateway = await startLocalGateway(options);
  const { url } = gateway;
  const again = { ...options, port: Number(new URL(url).port) };
  const closing = new AbortController();

  const watch = async () => {
    let failures = 0;
    let startedMs = performance.now();
    while (!closing.signal.aborted) {
      const reason = await gateway.ended;
      await pause(CLOSES_WITHIN_MS, undefined, { signal: closing.signal });
      failures = performance.now() - startedMs >= STEADY_MS ? 1 : failures + 1;
      if (failures > RESTARTS) {
        log(`the gateway ${reason}; it is not started again after ${RESTARTS} restarts`);
        return;
      }
      const waitMs = PAUSE_MS * 2 ** (failures - 1);
      log(`the gateway ${reason}; it is started again in ${waitMs} ms`);
      await gateway.close().catch(() => {});
      await pause(waitMs, undefined, { signal: closing.signal });
      startedMs = performance.now();
      try {
        gateway = await startLocalGateway(again);
      } catch (error) {
        // The one before has ended, as the next turn finds.
        log(`the gateway did not start: ${String(error)}`);
      }
    }
  };
  // Ends by itself, or with a pause that closing breaks off.
  const watching = watch().catch(() => {});

  return {
    url,
    async close() {
      closing.abort();
      await gateway.close();
      // One that was being started meanwhile is closed, too.
      await watching;
      await gateway.close();
    },
  };
}
