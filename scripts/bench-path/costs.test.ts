import { expect, test } from 'vitest';
import { type CostScene, epochsOf, singleSteps } from './costs.ts';

const scene: CostScene = {
  options: { batch: 10, steps: 20 },
  examples: 1000,
  pool: 300,
  shares: [0.1, 0.3, 0.5, 1],
  recoverySteps: 60,
  draw: { always: 2, between: 1 },
};

test('levels apart take as many steps as the joint run, or as many as cost the same', () => {
  expect(singleSteps('each', scene)).toBe(60);
  const joint = epochsOf({ ours: true, training: 'joint' }, scene);
  const total = epochsOf({ training: 'total' }, scene);
  // A step: 0.1 + 0.3 + 0.5 and the dense answers jointly; 0.1 + 0.3 + 0.5 and three times the dense answers apart.
  expect(joint.recover).toBeCloseTo(0.6 * (0.9 + 1 / 3), 9);
  expect(singleSteps('total', scene)).toBe(Math.floor((60 * (0.9 + 1 / 3)) / 1.9));
  expect(total.recover).toBeLessThanOrEqual(joint.recover as number);
  expect(total.recover).toBeCloseTo(joint.recover as number, 1);
  expect({ ...total, recover: 0 }).toEqual({ ...joint, recover: 0 });
});

test('a joint run that trained fewer levels than it might have costs what it did', () => {
  const joint = epochsOf({ ours: true, training: 'joint' }, { ...scene, settled: { always: 1, between: 1 } });
  expect(joint.recover).toBeCloseTo(0.6 * (0.1 + 0.4 + 1 / 3), 9);
});

test('what is not trained costs the search where that is ours, else nothing', () => {
  expect(epochsOf({ ours: true }, scene)).toMatchObject({ search: 0.2, teacher: 0.1 });
  expect(epochsOf({ ours: true }, scene)).not.toHaveProperty('recover');
  expect(epochsOf({}, scene)).toEqual({});
});
