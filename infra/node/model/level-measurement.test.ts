import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import { disposables, temporaryDirectory } from '../../../test/support/node-client.ts';
import { writeTinyArtifact } from '../../../test/support/tiny-model.ts';
import { LEAST } from '../tensors.ts';
import { levelMeasurement } from './level-measurement.ts';

const scope = disposables();
afterEach(() => scope.dispose());

test('levels that are not measured because the node stops are no faults, and nothing is warned of', async () => {
  const manifest = await writeTinyArtifact(await temporaryDirectory(scope));
  const lines: string[] = [];
  const asked: number[] = [];
  let closed = false;
  const measurement = levelMeasurement({
    manifest,
    workers: 1,
    progressive: false,
    whole: true,
    sizes: [],
    size: () => LEAST,
    lengths: [],
    isKnown: () => false,
    isLost: () => false,
    budgetMs: 1000,
    log: pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }),
    async run(level) {
      asked.push(level);
      closed = true;
      throw new SppError('draining', 'The node is shutting down.');
    },
    prefetch: async () => {},
    record: () => {},
    onUnshareable: () => {},
    isClosed: () => closed,
  });
  await measurement.measure();
  expect([asked, lines]).toEqual([[0], []]);
});
