/** What has been measured, kept a file a model, method and seed, so that a comparison goes on where it stopped. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

const levelSchema = z.object({
  /** Of what pairs can give; 1 is dense. */
  reachable: z.number(),
  flops: z.number(),
  params: z.number(),
  value: z.number(),
  low: z.number(),
  high: z.number(),
});

export const resultSchema = z.object({
  model: z.string(),
  method: z.string(),
  seed: z.int(),
  /** Of all that decides the numbers. */
  fingerprint: z.string(),
  samples: z.int(),
  levels: z.array(levelSchema),
  /** Epochs of the dense model's training step that the method took, by part. */
  epochs: z.record(z.string(), z.number()),
  seconds: z.number(),
});
export type Result = z.infer<typeof resultSchema>;

export function fingerprintOf(deciding: unknown): string {
  return createHash('sha256').update(JSON.stringify(deciding)).digest('hex').slice(0, 16);
}

const fileOf = (work: string, { model, method, seed }: Pick<Result, 'model' | 'method' | 'seed'>) =>
  join(work, 'results', `${model}.${method}.${seed}.json`);

export async function readResult(
  work: string,
  key: Pick<Result, 'model' | 'method' | 'seed' | 'fingerprint'>,
): Promise<Result | undefined> {
  const text = await readFile(fileOf(work, key), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const result = resultSchema.parse(JSON.parse(text));
  return result.fingerprint === key.fingerprint ? result : undefined;
}

export async function writeResult(work: string, result: Result): Promise<void> {
  const file = fileOf(work, result);
  await mkdir(join(work, 'results'), { recursive: true });
  await writeFile(`${file}.partial`, `${JSON.stringify(result)}\n`);
  await rename(`${file}.partial`, file);
}
