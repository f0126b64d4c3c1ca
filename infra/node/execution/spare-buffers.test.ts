import { describe, expect, test } from 'vitest';
import { spareBuffers } from './spare-buffers.ts';

describe('memory that was given back', () => {
  test('is taken again, by who needs as much', () => {
    const spare = spareBuffers(100);
    const [small, large] = [spare.take(10), spare.take(40)];
    spare.give(small);
    spare.give(large);
    expect(spare.take(20)).toHaveProperty('byteLength', 20);
    expect(spare.take(40)).toBe(large);
    expect(spare.take(40)).not.toBe(large);
    expect(spare.take(10)).toBe(small);
  });

  test('is let go beyond the limit, what was used longest ago first', () => {
    const spare = spareBuffers(100);
    const [old, middle, last] = [new ArrayBuffer(40), new ArrayBuffer(50), new ArrayBuffer(45)];
    for (const buffer of [old, middle, last]) spare.give(buffer);
    expect(spare.take(40)).not.toBe(old);
    expect(spare.take(50)).toBe(middle);
    expect(spare.take(45)).toBe(last);
    spare.give(new ArrayBuffer(200));
    expect(spare.take(200)).toHaveProperty('byteLength', 200);
  });
});
