/** What tests of the engines share: a step that fits any model, gradients by one engine, and how two are compared. */
import { expect } from 'vitest';
import { relativeError } from '../graph/relative-error.ts';
import type { BackendName } from './backend-names.ts';
import { createEngine } from './create-engine.ts';
import type { EngineOptions, EngineStep } from './engine.ts';

const ENGINES_AGREE = 1e-4;

export { anyStepOf as anyStep } from './step.case.ts';

/** One step's gradients, copied. */
export async function gradientsOn(
  backend: BackendName,
  options: Omit<EngineOptions, 'backend'>,
  step: EngineStep,
) {
  const engine = await createEngine({ workers: 1, ...options, backend });
  const { loss, masks, weights } = await engine.step(step).finally(() => engine.close());
  return { loss, masks, weights: new Map([...weights].map(([name, gradient]) => [name, gradient.slice()])) };
}

export type Found = Awaited<ReturnType<typeof gradientsOn>>;

/** Loss, masks and weights. */
export function expectAgreement(ours: Found, theirs: Found): void {
  expect(Math.abs(ours.loss - theirs.loss) / theirs.loss).toBeLessThan(ENGINES_AGREE);
  const largest = Math.max(
    ...[...theirs.weights.values()].map((g) => g.reduce((m, v) => Math.max(m, Math.abs(v)), 0)),
  );
  for (const [p, mask] of theirs.masks.entries())
    expect(relativeError(ours.masks[p] ?? [], mask).relative, `mask ${p}`).toBeLessThan(ENGINES_AGREE);
  for (const [name, gradient] of theirs.weights) {
    const error = relativeError(ours.weights.get(name) ?? [], gradient);
    const own = gradient.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    // A key's bias has no influence on a softmax: both sides hold rounding only.
    if (own > largest * 1e-6)
      expect(error.relative, `${name}: ${JSON.stringify(error)}`).toBeLessThan(ENGINES_AGREE);
  }
}
