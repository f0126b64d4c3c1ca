/**
 * What an interrupted build leaves behind, beside the artifact it was making: `.checkpoint/` with one file a stage.
 * Files are written beside and renamed, so a kill at any moment leaves the last whole one. Numbers are kept in full
 * (structured clone), because a resumed run must go on bit for bit.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { z } from 'zod';
import { makeDirectory } from '../../schema/artifact/make-directory.ts';
import { orNotWritten, writeDurably } from '../../schema/artifact/write.ts';
import { SppError } from '../../schema/errors.ts';

const FOLDER = '.checkpoint';

/** What a run must have in common with the checkpoint that it continues. */
const runSchema = z.object({
  formatVersion: z.literal(2),
  fingerprint: z.string(),
  /** Of what decides the search: with that alone the same, a run goes on behind it. */
  searchFingerprint: z.string(),
  /** What the two are of, so that whoever is refused is told what differs. */
  asked: z
    .object({ model: z.string(), data: z.string(), options: z.record(z.string(), z.unknown()) })
    .optional(),
  workers: z.int().positive(),
  workerThreads: z.int().positive(),
});
export type RunIdentity = z.infer<typeof runSchema>;

export class Checkpoint {
  private readonly directory: string;
  private beside: readonly [stage: string, value: () => unknown] | undefined;

  constructor(artifactDirectory: string) {
    this.directory = join(artifactDirectory, FOLDER);
  }

  /** The run that left this checkpoint; undefined when there is none. */
  async run(): Promise<RunIdentity | undefined> {
    return this.read('run', runSchema);
  }

  async begin(run: RunIdentity): Promise<void> {
    await this.remove();
    await orNotWritten(this.directory, makeDirectory(this.directory));
    await this.write('run', run);
  }

  /** Forgets all stages but these, and is the given run's from now on. */
  async keepOnly(stages: readonly string[], run: RunIdentity): Promise<void> {
    const kept = new Set([...stages, 'run']);
    for (const stage of await readdir(this.directory))
      if (!kept.has(stage)) await rm(join(this.directory, stage), { force: true });
    await this.write('run', run);
  }

  /** Undefined where nothing was written. @throws `bad-checkpoint` when the file cannot be read, is damaged or of another version */
  async read<T>(stage: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const path = join(this.directory, stage);
    const unusable = (why: string, hint: string, cause: unknown) =>
      new SppError('bad-checkpoint', `The checkpoint file ${path} ${why}.`, { hint, cause });
    const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return undefined;
      throw unusable(`cannot be read: ${cause.message}`, 'Check its permissions.', cause);
    });
    if (bytes === undefined) return undefined;
    try {
      return schema.parse(deserialize(bytes));
    } catch (cause) {
      throw unusable('is damaged, or of another version of this program', 'Start over with --force.', cause);
    }
  }

  async write(stage: string, value: unknown): Promise<void> {
    await writeDurably(this.directory, stage, serialize(value));
    if (this.beside !== undefined && stage !== 'run')
      await writeDurably(this.directory, this.beside[0], serialize(this.beside[1]()));
  }

  /** With each stage that is written, this is, too, as it is then. */
  keepBeside(stage: string, value: () => unknown): void {
    this.beside = [stage, value];
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Schema of the numeric arrays that checkpoints hold. */
export const float64Array: z.ZodType<Float64Array> = z.instanceof(Float64Array);
