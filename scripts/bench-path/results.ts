/**
 * What has been measured, kept a file a model, method and seed, so that a comparison goes on where it stopped. Processes with different
 * models, methods or seeds may write into one folder, and folders of several machines are merged by copying their files together.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';

const measuredSchema = z.object({ value: z.number(), low: z.number(), high: z.number() });

const levelSchema = measuredSchema.extend({
  /** Of what pairs can give; 1 is dense. */
  reachable: z.number(),
  flops: z.number(),
  params: z.number(),
  /** By metric, beside the one that levels are compared by. */
  others: z.record(z.string(), measuredSchema).optional(),
});

const resultSchema = z.object({
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
export type ResultKey = Pick<Result, 'model' | 'method' | 'seed' | 'fingerprint'>;

export function fingerprintOf(deciding: unknown): string {
  return createHash('sha256').update(JSON.stringify(deciding)).digest('hex').slice(0, 16);
}

const fileOf = (cache: string, { model, method, seed }: ResultKey) =>
  join(cache, `${model}.${method}.${seed}.json`);

/** @returns undefined where nothing was measured, or something else was. @throws `bad-data` for a damaged file */
export async function readResult(cache: string, key: ResultKey): Promise<Result | undefined> {
  const file = fileOf(cache, key);
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const result = parsed(text, file);
  return result.fingerprint === key.fingerprint ? result : undefined;
}

function parsed(text: string, file: string): Result {
  try {
    return resultSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SppError('bad-data', `${file} holds no result of this benchmark.`, {
      hint: 'Delete it, and it is measured again.',
      cause,
    });
  }
}

export async function writeResult(cache: string, result: Result): Promise<void> {
  const file = fileOf(cache, result);
  await mkdir(cache, { recursive: true });
  // Whole or not at all, also when two processes measure the same.
  const partial = `${file}.${process.pid}.partial`;
  await writeFile(partial, `${JSON.stringify(result)}\n`);
  await rename(partial, file);
}

export function removeResult(cache: string, key: ResultKey): Promise<void> {
  return rm(fileOf(cache, key), { force: true });
}
