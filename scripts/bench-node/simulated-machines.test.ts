import { expect, test } from 'vitest';
import { machinesReport, simulatedMachines } from './simulated-machines.ts';

test('simulated machines are counted over their loads, and summed up', () => {
  const done: number[] = [];
  const result = simulatedMachines({ seconds: 0.2, seeds: 1, progress: (machines) => done.push(machines) });
  expect(done).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
  for (const { loads, held, kept, better, attainment, meanQuality } of result.machines) {
    expect(loads).toBe(4);
    expect(kept).toBeLessThanOrEqual(held);
    expect(Math.max(held, better)).toBeLessThanOrEqual(loads);
    expect(attainment).toBeGreaterThan(0.8);
    expect(meanQuality).toBeGreaterThan(0.87);
  }
  const held = result.machines.reduce((sum, one) => sum + one.held, 0);
  const kept = result.machines.reduce((sum, one) => sum + one.kept, 0);
  const lines = machinesReport(result).trim().split('\n');
  expect(lines).toHaveLength(18);
  expect(lines.at(-1)).toContain(`${kept} of ${held}`);
});
