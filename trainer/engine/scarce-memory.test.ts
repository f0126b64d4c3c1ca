/** A step that does not fit into memory, with allocations that are made to fail in a process of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { expectAgreement, type Found } from './gradients.case.ts';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

interface Outcome {
  readonly loss: number;
  readonly again: number;
  readonly gradients: readonly (readonly [name: string, values: number[]])[];
  readonly said: readonly string[];
}

async function stepWith(failing: number): Promise<Outcome> {
  const preload = new URL('./scarce-memory.preload.case.ts', import.meta.url).href;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', preload, path('./scarce-memory.case.ts')],
    { env: { ...process.env, FAILING_RUNS: String(failing) } },
  );
  return JSON.parse(stdout) as Outcome;
}

function found({ loss, gradients }: Outcome): Found {
  const weights = new Map(gradients.map(([name, values]) => [name, Float32Array.from(values)]));
  return { loss, masks: [], weights };
}

test('activations are computed twice, then batches halved, both are said, and the gradients stay the same', async () => {
  const plain = await stepWith(0);
  expect(plain.said).toEqual([]);
  expect((await stepWith(1)).said).toEqual(['recompute']);
  const scarce = await stepWith(3);
  expect(scarce.said).toEqual(['recompute', 'halved to 3', 'halved to 2']);
  expect(scarce.again).toBeCloseTo(scarce.loss, 5);
  expectAgreement(found(scarce), found(plain));
});

test('what does not fit even one by one is an error', async () => {
  await expect(stepWith(100)).rejects.toThrow(/allocat|bad_alloc/i);
});
