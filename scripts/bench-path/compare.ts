/** One model by every method and seed that was asked for: what is known is read, the rest measured and kept. */
import type { LevelModel } from '../../trainer/build/level-stage.ts';
import { type BuildOptions, buildOptionsSchema } from '../../trainer/build/options.ts';
import type { Progress } from '../../trainer/build/progress.ts';
import type { Dataset } from '../../trainer/data/dataset.ts';
import type { BackendChoice } from '../../trainer/engine/backend-names.ts';
import { epochsOf } from './costs.ts';
import { qualities } from './measured.ts';
import { type Method, type MethodName, methods, revisionOf } from './methods.ts';
import type { BenchModel } from './models.ts';
import { orderCache } from './orders.ts';
import { fingerprintOf, type Result, readResult, writeResult } from './results.ts';
import { openSubject, type Recovery, type Subject } from './subject.ts';

export interface Comparison {
  readonly methods: readonly MethodName[];
  readonly seeds: readonly number[];
  /** Shares of the reachable FLOPs. */
  readonly reachable: readonly number[];
  readonly recover: Recovery;
  readonly samples?: number;
  readonly steps?: number;
  readonly backend: BackendChoice;
  /** Where unpacked data goes, and results. */
  readonly work: string;
  readonly cache: string;
  /** Nothing is measured: what is not known is left out. */
  readonly reportOnly: boolean;
}

/** Of the dense model's own figure; methods have revisions of their own. */
const DENSE_REVISION = 2;
/** Raised when the search's order changes. */
const ORDER_REVISION = 1;
const CALIBRATION = 4096;

export async function compare(
  name: string,
  model: BenchModel,
  asked: Comparison,
  progress: Progress,
): Promise<Result[]> {
  const results: Result[] = [];
  let dataset: Dataset | undefined;
  for (const seed of asked.seeds) {
    let subject: Subject | undefined;
    for (const method of asked.methods) {
      const key = { model: name, method, seed, fingerprint: fingerprintFor(model, method, seed, asked) };
      const known = await readResult(asked.cache, key);
      if (known !== undefined) results.push(known);
      else if (asked.reportOnly) progress.note(`not measured: ${name} by ${method}, seed ${seed}`);
      else {
        dataset ??= await model.open(asked.work, samplesOf(model, asked));
        subject ??= await subjectFor(name, model, dataset, seed, asked, progress);
        progress.note(`${name}, seed ${seed}: ${methods[method].label}`);
        const started = performance.now();
        const levels = await measured(name, model, subject, method, asked);
        const seconds = (performance.now() - started) / 1000;
        const own: Method = methods[method];
        const epochs = epochsOf(own, await subject.costScene());
        const result = { ...key, samples: samplesOf(model, asked), levels, epochs, seconds };
        await writeResult(asked.cache, result);
        results.push(result);
      }
    }
  }
  return results;
}

export async function subjectFor(
  name: string,
  model: BenchModel,
  dataset: Dataset,
  seed: number,
  asked: Comparison,
  progress: Progress,
): Promise<Subject> {
  const options = optionsFor(model, seed, asked);
  const { batch, steps, calibration } = options;
  const orders = orderCache(
    asked.cache,
    name,
    seed,
    fingerprintOf([ORDER_REVISION, batch, steps, calibration, seed]),
  );
  const { reachable, recover } = asked;
  return openSubject({ name, model, dataset, options, reachable, recover, orders, progress });
}

export const samplesOf = (model: BenchModel, { samples }: Pick<Comparison, 'samples'>) =>
  samples ?? model.samples;

/** What computes is left out: results of several machines belong together, though their last digits differ. */
function fingerprintFor(model: BenchModel, name: MethodName, seed: number, asked: Comparison): string {
  const { batch, steps, calibration } = optionsFor(model, seed, asked);
  const { reachable, recover } = asked;
  const deciding = { reachable, samples: samplesOf(model, asked), seed, batch, steps, calibration };
  const method: Method = methods[name];
  return fingerprintOf([revisionOf(name), deciding, ...(method.training === undefined ? [] : [recover])]);
}

function optionsFor(model: BenchModel, seed: number, { backend, steps }: Comparison): BuildOptions {
  return buildOptionsSchema.parse({
    id: 'bench',
    seed,
    batch: model.batch,
    calibration: CALIBRATION,
    backend,
    ...(model.task === undefined ? {} : { task: model.task }),
    ...(steps === undefined ? {} : { steps }),
  });
}

/** Training changes the dense level too; without it, that is the model itself. */
async function measured(
  name: string,
  model: BenchModel,
  subject: Subject,
  method: MethodName,
  asked: Comparison,
): Promise<Result['levels']> {
  const levels = await methods[method].levels(subject);
  const ascending = [...asked.reachable.toSorted((a, b) => a - b), 1];
  const samples = samplesOf(model, asked);
  const own: Method = methods[method];
  if (own.training !== undefined) return qualities(subject, levels, ascending, samples, model);
  const pruned: readonly LevelModel[] = levels.slice(0, -1);
  return [
    ...(await qualities(subject, pruned, ascending, samples, model)),
    await denseQuality(name, model, subject, samples, asked.cache),
  ];
}

/** Measured once a model, whatever the method and seed. */
async function denseQuality(
  name: string,
  model: BenchModel,
  subject: Subject,
  samples: number,
  cache: string,
): Promise<Result['levels'][number]> {
  const fingerprint = fingerprintOf([DENSE_REVISION, samples]);
  const key = { model: name, method: 'dense', seed: 0, fingerprint };
  const [known] = (await readResult(cache, key))?.levels ?? [];
  if (known !== undefined) return known;
  const { prepared } = subject;
  const keep = prepared.pairs.map(({ units }) => Array.from({ length: units }, (_, unit) => unit));
  const levels = [{ cut: prepared.graph, keep, refitted: false }];
  const [dense] = await qualities(subject, levels, [1], samples, model);
  const level = dense as Result['levels'][number];
  await writeResult(cache, { ...key, samples, levels: [level], epochs: {}, seconds: 0 });
  return level;
}
