import { expect, test } from 'vitest';
import { steadyClock } from './steady-clock.ts';

test('is the machine’s clock until that is set back, and then goes on from there', () => {
  let ms = 1000;
  const clock = steadyClock(() => ms);
  const moved = (by: number) => {
    ms += by;
    return clock.now();
  };
  expect([clock.now(), moved(5), moved(3000), moved(-3000), moved(7), moved(-1000), moved(1)]).toEqual([
    1000, 1005, 4005, 4005, 4012, 4012, 4013,
  ]);
  expect(ms).toBe(13);
  expect(clock.at(12)).toBe(4012);
  // Written down before the clock was set back.
  expect(clock.at(4000)).toBe(4013);
});
