/** One model by every method and seed that was asked for: what is known is read, the rest measured and kept. */
import type { LevelModel } from '../../trainer/build/level-stage.ts';
import { type BuildOptions, buildOptionsSchema } from '../../trainer/build/options.ts';
import type { Progress } from '../../trainer/build/progress.ts';
import type { Dataset } from '../../trainer/data/dataset.ts';
import type { BackendChoice } from '../../trainer/engine/backend-names.ts';
import { defaultRecovery } from '../../trainer/recovery/plan.ts';
import { epochsOf } from './costs.ts';
import { qualities } from './measured.ts';
import { denseLevel, type Method, type MethodName, methods, revisionOf } from './methods.ts';
import type { BenchModel } from './models.ts';
import { orderCache } from './orders.ts';
import {
  fingerprintOf,
  type Result,
  type ResultKey,
  readResult,
  removeResult,
  writeResult,
} from './results.ts';
import { openSubject, type Recovery, type Subject } from './subject.ts';

export interface Comparison {
  readonly methods: readonly MethodName[];
  readonly seeds: readonly number[];
  /** Shares of the reachable FLOPs. */
  readonly reachable: readonly number[];
  /** Of those, what methods measure that make each level apart: other processes measure the rest. */
  readonly alone: readonly number[];
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
const ORDER_REVISION = 2;
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
      else if (asked.reportOnly) {
        const parts = await knownLevels(key, asked);
        progress.note(
          `${parts === undefined ? 'not' : 'in part'} measured: ${name} by ${method}, seed ${seed}`,
        );
        if (parts !== undefined) results.push(parts);
      } else {
        dataset ??= await model.open(asked.work, samplesOf(model, asked));
        subject ??= await subjectFor(name, model, dataset, seed, asked, progress);
        progress.note(`${name}, seed ${seed}: ${methods[method].label}`);
        const started = performance.now();
        const levels = await measured(key, model, subject, asked);
        if (levels === undefined) continue;
        const seconds = (performance.now() - started) / 1000;
        const own: Method = methods[method];
        const epochs = epochsOf(own, await subject.costScene());
        const result = { ...key, samples: samplesOf(model, asked), levels, epochs, seconds };
        await writeResult(asked.cache, result);
        // Levels that were kept one by one are in it.
        for (const share of asked.reachable) await removeResult(asked.cache, levelKey(key, share));
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
    fingerprintOf([
      ORDER_REVISION,
      batch,
      steps,
      calibration,
      seed,
      ...statisticsOf(model),
      ...costsOf(model),
    ]),
  );
  const { reachable, recover } = asked;
  return openSubject({ name, model, dataset, options, reachable, recover, orders, progress });
}

export const samplesOf = (model: BenchModel, { samples }: Pick<Comparison, 'samples'>) =>
  samples ?? model.samples;

/** What kept numbers must have in common with today's where they follow from statistics of activations. */
function statisticsOf({ statisticsRevision }: Pick<BenchModel, 'statisticsRevision'>): unknown[] {
  return statisticsRevision === undefined ? [] : [{ statisticsRevision }];
}

/** The same of all that follows from what units cost, as levels do. */
function costsOf({ flopsOf }: Pick<BenchModel, 'flopsOf'>): unknown[] {
  return flopsOf === undefined ? [] : [{ flopsOf }];
}

/** What computes is left out: results of several machines belong together, though their last digits differ. */
export function fingerprintFor(
  model: BenchModel,
  name: MethodName,
  seed: number,
  asked: Pick<Comparison, 'reachable' | 'recover' | 'samples' | 'steps' | 'backend'>,
): string {
  const { batch, steps, calibration } = optionsFor(model, seed, asked);
  const { reachable, recover } = asked;
  const deciding = { reachable, samples: samplesOf(model, asked), seed, batch, steps, calibration };
  const method: Method = methods[name];
  return fingerprintOf([
    revisionOf(name),
    deciding,
    ...(method.training === undefined ? [] : [recoveryOf(method, { ...defaultRecovery, ...recover })]),
    ...(method.statistics === true ? statisticsOf(model) : []),
    ...costsOf(model),
  ]);
}

/** What of the recovery decides: levels trained apart for as long as the joint run know nothing of the levels it draws. */
function recoveryOf({ training }: Method, { between, rate, steps }: Required<Recovery>): Partial<Recovery> {
  return training === 'each' ? { rate, steps } : { between, rate, steps };
}

function optionsFor(
  model: BenchModel,
  seed: number,
  { backend, steps }: Pick<Comparison, 'backend' | 'steps'>,
): BuildOptions {
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

/**
 * Training changes the dense level too; without it, that is the model itself.
 *
 * @returns undefined where levels made apart are left to others
 */
async function measured(
  key: ResultKey & { readonly method: MethodName },
  model: BenchModel,
  subject: Subject,
  asked: Comparison,
): Promise<Result['levels'] | undefined> {
  const ascending = [...asked.reachable.toSorted((a, b) => a - b), 1];
  const samples = samplesOf(model, asked);
  const own: Method = methods[key.method];
  const dense = () => denseQuality(key.model, model, subject, samples, asked.cache);
  const { make } = own;
  if ('level' in make) {
    const pruned = ascending.slice(0, -1);
    for (const [place, reachable] of pruned.entries())
      if (asked.alone.includes(reachable)) await oneLevel(() => make.level(subject, place), reachable);
    const values = await knownLevels(key, asked);
    return values?.levels.length === pruned.length ? [...values.levels, await dense()] : undefined;
  }
  const levels = await make.levels(subject);
  if (own.training !== undefined) return qualities(subject, levels, ascending, samples, model);
  return [...(await qualities(subject, levels.slice(0, -1), ascending, samples, model)), await dense()];

  async function oneLevel(made: () => Promise<LevelModel>, reachable: number) {
    const its = levelKey(key, reachable);
    if ((await readResult(asked.cache, its)) !== undefined) return;
    const levels = await qualities(subject, [await made()], [reachable], samples, model);
    await writeResult(asked.cache, { ...its, samples, levels, epochs: {}, seconds: 0 });
  }
}

/** Of levels that are made apart, those that have been measured; undefined where none has. */
async function knownLevels(key: ResultKey, { cache, reachable }: Comparison): Promise<Result | undefined> {
  const levels: Result['levels'] = [];
  for (const share of reachable.toSorted((a, b) => a - b))
    levels.push(...((await readResult(cache, levelKey(key, share)))?.levels ?? []));
  return levels.length === 0 ? undefined : { ...key, samples: 0, levels, epochs: {}, seconds: 0 };
}

const levelKey = (key: ResultKey, reachable: number): ResultKey => ({
  ...key,
  method: `${key.method}@${100 * reachable}`,
});

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
  const [dense] = await qualities(subject, [denseLevel(subject)], [1], samples, model);
  const level = dense as Result['levels'][number];
  await writeResult(cache, { ...key, samples, levels: [level], epochs: {}, seconds: 0 });
  return level;
}
