import { beforeAll, expect, test } from 'vitest';
import { startBackend } from '../../trainer/engine/backend.ts';
import { caseReleases, readCases } from '../../trainer/graph/conformance/case-files.ts';
import { runCases } from '../../trainer/graph/conformance/report.ts';
import { CASES } from './fetch-cases.ts';

const releases = caseReleases(CASES);

beforeAll(async () => {
  await startBackend('wasm');
});

test.skipIf(releases.length === 0)(
  "ONNX's node cases all pass where they apply (skipped until `npm run conformance` has fetched them)",
  { timeout: 300_000 },
  () => {
    for (const release of releases) {
      const { passed, failed } = runCases(readCases(CASES, release));
      expect(failed).toEqual({});
      expect(passed).toBeGreaterThan(500);
    }
  },
);
