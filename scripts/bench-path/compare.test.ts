import { expect, test } from 'vitest';
import { fingerprintFor } from './compare.ts';
import { type Method, type MethodName, methods } from './methods.ts';
import { type BenchModel, benchModels } from './models.ts';
import type { Subject } from './subject.ts';

const names = Object.keys(methods) as MethodName[];
const asked = { reachable: [0.5], recover: { steps: 'auto' }, backend: 'auto' } as const;

class StatisticsAsked extends Error {}

/** Of a model without pairs: what is asked for that follows from statistics throws, all else is there or missing. */
function barren(): Subject {
  const refuse = async (): Promise<never> => {
    throw new StatisticsAsked();
  };
  const subject: Partial<Subject> = {
    prepared: {
      graph: {
        name: 'none',
        irVersion: 8,
        opsets: { '': 17 },
        inputs: [],
        outputs: [],
        initializers: new Map(),
        nodes: [],
      },
      pairs: [],
      leftAlone: [],
      shapeConstants: [],
      shared: [],
      carriers: [],
      flops: 1,
      params: 1,
      sizes: [],
    },
    shares: [0.5, 1],
    calibrated: async (basis) => (basis === 'rotated' ? refuse() : Promise.reject(new Error('none'))),
    curvature: async (basis) => (basis === 'rotated' ? refuse() : new Float64Array()),
    order: async (form) => (form === 'inclusion' ? refuse() : []),
    moments: refuse,
    recovered: refuse,
    recoveredOwn: refuse,
  };
  return subject as Subject;
}

test.each(names)('%s says whether it rests on statistics of activations', async (name) => {
  const { make, statistics }: Method = methods[name];
  const made = 'level' in make ? make.level(barren(), 0) : make.levels(barren());
  const error: unknown = await made.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error instanceof StatisticsAsked).toBe(statistics === true);
});

test("other statistics of a model's make stale what rests on them, and nothing else", () => {
  const model = benchModels.digits as BenchModel;
  for (const name of names) {
    const [kept, now] = [model, { ...model, statisticsRevision: 2 }].map((of) =>
      fingerprintFor(of, name, 0, asked),
    );
    const { statistics }: Method = methods[name];
    expect(kept !== now).toBe(statistics === true);
  }
});
