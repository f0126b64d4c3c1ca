/**
 * A level's weights in the order in which onnxruntime's kernels read them, in a file that all threads map: each would else
 * make a copy of its own. Other levels take from it what they have in common (`beside-packed.ts`). The order depends on the processor and on onnxruntime's version, so a file serves one process, and
 * goes with it; what a process that was killed has left is removed by the next one.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isMarkAlive, processMark } from '../../../schema/process-alive.ts';

export interface PackedModels {
  /** Path of the level's packed model. */
  readonly path: string;
  /** Paths of models of other levels, by level, that lie beside it. */
  readonly beside: ReadonlyMap<number, string>;
}

export interface PackedFile {
  /**
   * Packs a level, at the first call, and lays others beside it, as they come; what was made for any other one is removed, which does
   * not hurt who has loaded it.
   * @param model path of the level's model as its views lie
   * @param others paths of other levels' models, by level, as their views lie
   * @throws what the disk or onnxruntime refuses
   */
  pack(level: number, model: string, others?: ReadonlyMap<number, string>): Promise<PackedModels>;
  /**
   * The share of a run that packing saves, as measured; takes a level's memory in a process of its own meanwhile.
   * @param model path of the level's model as its views lie
   * @throws what onnxruntime refuses
   */
  gain(model: string, inputs: readonly RunInput[]): Promise<number>;
  /** Removes what was packed, which does not hurt who has loaded it: the next call packs anew. */
  forget(): void;
  close(): Promise<void>;
}

export interface RunInput {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly number[];
}

const PROGRAM = fileURLToPath(new URL('pack-level.ts', import.meta.url));
const GAIN_PROGRAM = fileURLToPath(new URL('pack-gain.ts', import.meta.url));
const run = promisify(execFile);
const NAME = /^packed-(?<mark>[\d.]+)-/;

/** @param directory of this artifact version alone, which other processes may use too */
export async function packedFile(directory: string): Promise<PackedFile> {
  await removeLeftovers(directory);
  let current: { readonly level: number; readonly home: string; models: Promise<PackedModels> } | undefined;
  let last: Promise<unknown> = Promise.resolve();
  const stop = new AbortController();

  /** Packs the level where that has not been done, and makes models of others. */
  const make = async (home: string, model: string, others: ReadonlyMap<number, string>) => {
    const path = join(home, 'packed.onnx');
    const beside = new Map([...others.keys()].map((level) => [level, join(home, `beside-${level}.onnx`)]));
    const asked = [...others].map(([level, of]) => ({ model: of, target: beside.get(level) }));
    await run(process.execPath, [PROGRAM, model, path, JSON.stringify(asked)], { signal: stop.signal });
    return { path, beside };
  };

  const begin = async (home: string, model: string, others: ReadonlyMap<number, string>) => {
    await mkdir(home, { mode: 0o700 });
    try {
      return await make(home, model, others);
    } catch (error) {
      await remove(home);
      throw error;
    }
  };

  const withMore = async (
    before: PackedModels,
    home: string,
    model: string,
    others: ReadonlyMap<number, string>,
  ): Promise<PackedModels> => {
    const more = new Map([...others].filter(([level]) => !before.beside.has(level)));
    if (more.size === 0) return before;
    const { path, beside } = await make(home, model, more);
    return { path, beside: new Map([...before.beside, ...beside]) };
  };

  return {
    pack(level, model, others = new Map()) {
      const previous = current;
      if (previous?.level === level) {
        const before = previous.models;
        const models = before.then((known) => withMore(known, previous.home, model, others));
        previous.models = models.catch(() => before);
        last = models;
        return models;
      }
      const home = join(directory, `packed-${processMark()}-${randomUUID()}`);
      // One after the other: packing takes a whole level's memory.
      const models = last
        .catch(() => {})
        .then(async () => {
          if (previous !== undefined) await remove(previous.home);
          return begin(home, model, others);
        });
      last = models;
      current = { level, home, models };
      return models;
    },
    gain(model, inputs) {
      const given = JSON.stringify(inputs.map(({ name, type, dims }) => ({ name, type, dims })));
      // After what is being packed: each takes a whole level's memory.
      const gain = last
        .catch(() => {})
        .then(() => run(process.execPath, [GAIN_PROGRAM, model, given], { signal: stop.signal }))
        .then(({ stdout }) => Number(stdout));
      last = gain;
      return gain;
    },
    forget() {
      const previous = current;
      current = undefined;
      if (previous !== undefined) last = last.catch(() => {}).then(() => remove(previous.home));
    },
    async close() {
      stop.abort();
      await last.catch(() => {});
      if (current !== undefined) await remove(current.home);
    },
  };
}

/** What the disk does not let go of is a leftover for the next process: it is no reason to end, or to pack no more. */
async function remove(home: string): Promise<void> {
  await rm(home, { recursive: true, force: true }).catch(() => {});
}

/** Of processes that are no more. */
async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const mark = NAME.exec(name)?.groups?.mark;
    if (mark !== undefined && !isMarkAlive(mark))
      await rm(join(directory, name), { recursive: true, force: true });
  }
}
