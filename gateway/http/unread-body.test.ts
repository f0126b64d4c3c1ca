import { describe, expect, test } from 'vitest';
import { discardRest } from './unread-body.ts';

/** @param parts what comes, undefined for nothing more and no end */
function arriving(parts: readonly (Uint8Array | Error | undefined)[]) {
  const left = [...parts];
  const seen = { cancelled: false, taken: 0 };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (left.length === 0) return controller.close();
        const next = left.shift();
        if (next === undefined) return new Promise<void>(() => {});
        if (next instanceof Error) return controller.error(next);
        seen.taken++;
        controller.enqueue(next);
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { body, seen };
}

describe('the rest of a body that nobody reads', () => {
  test('is taken in to its end', async () => {
    const { body, seen } = arriving([new Uint8Array(10), new Uint8Array(10)]);
    await discardRest(body);
    expect(seen).toEqual({ cancelled: false, taken: 2 });
  });

  test('is cut off where it is endless, or stops coming', async () => {
    const endless = arriving(Array(100).fill(new Uint8Array(2 ** 20)));
    await discardRest(endless.body);
    expect(endless.seen).toEqual({ cancelled: true, taken: 16 });
    const silent = arriving([new Uint8Array(1), undefined]);
    await discardRest(silent.body, 5);
    expect(silent.seen).toEqual({ cancelled: true, taken: 1 });
  });

  test('is left to whoever reads it, and a sender that is gone does no harm', async () => {
    await discardRest(null);
    await discardRest(arriving([new Uint8Array(1), new Error('gone')]).body);
    const read = arriving([new Uint8Array(1)]);
    const reader = read.body.getReader();
    await discardRest(read.body);
    expect((await reader.read()).value).toHaveLength(1);
  });
});
