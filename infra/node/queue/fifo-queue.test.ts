import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fifoQueue } from './fifo-queue.ts';

const entry = (name: string, deadlineMs?: number) => ({ name, deadlineMs });

describe('FIFO queue', () => {
  test('gives entries in the order of arrival', () => {
    const queue = fifoQueue<ReturnType<typeof entry>>(3);
    for (const name of ['a', 'b', 'c']) queue.push(entry(name));
    expect([0, 0, 0].map((now) => queue.take(now).next?.name)).toEqual(['a', 'b', 'c']);
    expect(queue.take(0)).toEqual({ next: undefined, expired: [] });
  });

  test('refuses an entry beyond the limit, says when to come back, and keeps those it has', () => {
    const queue = fifoQueue<ReturnType<typeof entry>>(1);
    queue.push(entry('a'));
    expect(() => queue.push(entry('b'))).toThrow(
      expect.objectContaining({ code: 'queue-full', retryAfterS: 1 }),
    );
    expect(queue.take(0).next?.name).toBe('a');
  });

  test('hands out entries whose deadline has passed as expired, and no others', () => {
    const queue = fifoQueue<ReturnType<typeof entry>>(4);
    queue.push(entry('late', 10));
    queue.push(entry('just', 20));
    queue.push(entry('fine', 21));
    const taken = queue.take(20);
    expect(taken.expired.map(({ name }) => name)).toEqual(['late', 'just']);
    expect(taken.next?.name).toBe('fine');
    expect(queue.length).toBe(0);
  });

  test('behaves as an array under any sequence of calls', () => {
    const step = fc.oneof(
      fc.record({ call: fc.constant('push'), deadlineMs: fc.option(fc.nat(20), { nil: undefined }) }),
      fc.record({ call: fc.constant('take'), now: fc.nat(20) }),
      fc.record({ call: fc.constant('remove'), at: fc.nat(5) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const queue = fifoQueue<ReturnType<typeof entry>>(4);
        let model: ReturnType<typeof entry>[] = [];
        for (const [i, action] of steps.entries()) {
          if ('deadlineMs' in action) {
            const next = entry(String(i), action.deadlineMs);
            if (model.length === 4) expect(() => queue.push(next)).toThrow();
            else queue.push(next);
            if (model.length < 4) model.push(next);
          } else if ('now' in action) {
            const alive = model.findIndex(
              ({ deadlineMs }) => deadlineMs === undefined || deadlineMs > action.now,
            );
            const cut = alive < 0 ? model.length : alive;
            expect(queue.take(action.now)).toEqual({ next: model[alive], expired: model.slice(0, cut) });
            model = model.slice(cut + 1);
          } else {
            const target = model[action.at];
            if (target) expect(queue.remove(target)).toBe(true);
            model = model.filter((other) => other !== target);
            if (target) expect(queue.remove(target)).toBe(false);
          }
          expect(queue.length).toBe(model.length);
        }
        expect(queue.clear()).toEqual(model);
      }),
    );
  });
});
