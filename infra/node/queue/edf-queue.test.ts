import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { edfQueue } from './edf-queue.ts';

const entry = (name: string, deadlineMs?: number) => ({ name, deadlineMs });
type Entry = ReturnType<typeof entry>;
const named = (entries: Iterable<Entry>) => [...entries].map(({ name }) => name).join('');

/** The order by a plain stable sort. */
const sorted = (entries: readonly Entry[]) =>
  entries.toSorted((a, b) => {
    const [left, right] = [a.deadlineMs ?? Infinity, b.deadlineMs ?? Infinity];
    return left === right ? 0 : left - right;
  });

describe('earliest-deadline-first queue', () => {
  test('gives the earliest deadline first, ties by arrival, entries without a deadline last', () => {
    const queue = edfQueue<Entry>(9);
    for (const next of [
      entry('e'),
      entry('c', 20),
      entry('a', 10),
      entry('f'),
      entry('d', 20),
      entry('b', 10),
    ])
      queue.push(next);
    expect(named(queue.inOrder())).toBe('abcdef');
    expect(queue.length).toBe(6);
    expect(named(queue.clear())).toBe('abcdef');
    expect(named(queue.inOrder())).toBe('');
  });

  test('refuses an entry beyond the limit, says when to come back, and keeps those it has', () => {
    const queue = edfQueue<Entry>(1);
    queue.push(entry('a'));
    expect(() => queue.push(entry('b', 1))).toThrow(
      expect.objectContaining({ code: 'queue-full', retryAfterS: 1 }),
    );
    expect(named(queue.inOrder())).toBe('a');
  });

  test('behaves as a sorted list under any sequence of calls', () => {
    // So few that drawn calls come to it.
    const LIMIT = 5;
    const step = fc.oneof(
      fc.record({ call: fc.constant('push'), deadlineMs: fc.option(fc.nat(6), { nil: undefined }) }),
      fc.record({ call: fc.constant('remove'), at: fc.nat(LIMIT) }),
    );
    let refused = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const queue = edfQueue<Entry>(LIMIT);
        let model: Entry[] = [];
        for (const [i, action] of steps.entries()) {
          if ('deadlineMs' in action) {
            const next = entry(`${i} `, action.deadlineMs);
            if (model.length === LIMIT) {
              expect(() => queue.push(next)).toThrow();
              refused++;
            } else {
              queue.push(next);
              model = [...model, next];
            }
          } else {
            const target = model[action.at];
            if (target) expect(queue.remove(target)).toBe(true);
            model = model.filter((other) => other !== target);
            if (target) expect(queue.remove(target)).toBe(false);
          }
          expect(named(queue.inOrder())).toBe(named(sorted(model)));
          expect(queue.length).toBe(model.length);
        }
        expect(queue.clear()).toEqual(sorted(model));
      }),
    );
    expect(refused).toBeGreaterThan(0);
  });
});
