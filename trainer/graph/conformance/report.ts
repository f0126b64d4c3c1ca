/** Runs many of ONNX's cases and counts. */
import type { ConformanceCase } from './case-files.ts';
import { exclusionOf, missingOps, OUTSIDE } from './exclusion.ts';
import { runCase } from './run-case.ts';

export interface ConformanceReport {
  readonly passed: number;
  /** What is wrong, by case. */
  readonly failed: Readonly<Record<string, string>>;
  /** Number of cases by reason. */
  readonly excluded: Readonly<Record<string, number>>;
  /** Operators that keep cases out because the table lacks them. */
  readonly missing: readonly string[];
}

/** A backend must have been started. */
export function runCases(cases: readonly ConformanceCase[]): ConformanceReport {
  const failed: Record<string, string> = {};
  const excluded: Record<string, number> = {};
  const missing = new Set<string>();
  let passed = 0;
  for (const one of cases) {
    const reason = exclusionOf(one);
    if (reason !== undefined) {
      excluded[reason] = (excluded[reason] ?? 0) + 1;
      if (reason === OUTSIDE) for (const opType of missingOps(one)) missing.add(opType);
      continue;
    }
    const wrong = runCase(one);
    if (wrong === undefined) passed++;
    else failed[`${one.release} ${one.name}`] = wrong;
  }
  return { passed, failed, excluded, missing: [...missing].sort() };
}
