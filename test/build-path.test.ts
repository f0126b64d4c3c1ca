/** The offline job as a whole, small: interruption, resumption, and bad input on its way. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { assembleLevel, filesOfLevel } from '../schema/artifact/level-model.ts';
import { type Artifact, openArtifact } from '../schema/artifact/store.ts';
import type { Manifest } from '../schema/manifest.ts';
import { verifyArtifact } from '../trainer/artifact/verify.ts';
import { buildPath } from '../trainer/build/build-path.ts';
import type { BuildRequest } from '../trainer/build/build-request.ts';
import { buildOptionsSchema } from '../trainer/build/options.ts';
import { type Progress, silentProgress } from '../trainer/build/progress.ts';
import { openMnist } from '../trainer/data/idx-dataset.ts';
import { openDataset } from '../trainer/data/open-dataset.ts';
import type { Tensor } from '../trainer/graph/graph.ts';
import { writeOnnx } from '../trainer/graph/onnx-file.ts';
import { relativeError } from '../trainer/graph/relative-error.ts';
import { createOrtSession } from '../trainer/runtime/ort-session.ts';
import { maskedLevel } from './support/masked-level.ts';

const model = new URL('../examples/digits/digits.onnx', import.meta.url).pathname;
const options = buildOptionsSchema.parse({
  id: 'digits',
  levels: 4,
  steps: 16,
  recover: 'off',
  frontier: false,
  batch: 8,
  calibration: 256,
  testSamples: 200,
  workers: 2,
});

let root: string;
let whole: Manifest;
const dataset = await openMnist();

function request(out: string, overrides: Partial<BuildRequest> = {}): BuildRequest {
  return {
    modelPath: model,
    dataset,
    out: join(root, out),
    options,
    resume: false,
    force: false,
    progress: silentProgress,
    ...overrides,
  };
}

/** Aborts once `stage` has reached `at`. */
function abortAt(stage: string, at: number): Pick<BuildRequest, 'progress' | 'signal'> {
  const controller = new AbortController();
  const progress: Progress = {
    note: () => {},
    stage: (name) => ({
      update: (done) => {
        if (name === stage && done >= at) controller.abort();
      },
      finish: () => {},
    }),
  };
  return { progress, signal: controller.signal };
}

function weightFiles(manifest: Manifest) {
  return manifest.files.map(({ path, sha256 }) => [path, sha256]);
}

/** Epochs by stage as the report has them; every stage took some time, in whichever run. */
async function costs(out: string): Promise<unknown> {
  const { cost } = JSON.parse(await readFile(join(root, out, 'report.json'), 'utf8')) as {
    cost: { stage: string; seconds: number; epochs: number }[];
  };
  expect(cost.filter(({ seconds }) => !(seconds > 0))).toEqual([]);
  return cost.map(({ stage, epochs }) => [stage, epochs]).toSorted();
}

async function levelBytes(artifact: Artifact, level: number): Promise<Uint8Array> {
  const paths = filesOfLevel(artifact.manifest, level);
  const files = new Map(
    await Promise.all(paths.map(async (path) => [path, await artifact.read(path)] as const)),
  );
  return assembleLevel(artifact.manifest, await artifact.read(artifact.manifest.graph), level, files);
}

async function logits(bytes: Uint8Array): Promise<Tensor> {
  const session = await createOrtSession(bytes, { threads: 1 });
  try {
    const { logits: output } = await session.run({
      pixel_values: dataset.test.images([0, 1, 2, 3, 4, 5, 6, 7]),
    });
    return output as Tensor;
  } finally {
    await session.close();
  }
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'build-path-'));
  whole = await buildPath(request('whole'));
});

afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

describe('build-path', () => {
  test('leaves an artifact that verifies, and no checkpoint', async () => {
    expect(await verifyArtifact(join(root, 'whole'), silentProgress)).toMatchObject({
      model: 'digits',
      levels: 4,
    });
    expect(await readdir(join(root, 'whole'))).not.toContain('.checkpoint');
    expect(whole.levels.map((level) => level.relativeFlops)).toEqual(
      whole.levels.map((level) => level.relativeFlops).toSorted(),
    );
    expect(whole.levels.at(-1)?.sparsity).toBe(0);
  });

  test.each([
    ['search', 7],
    ['compensate', 2],
    ['measure', 300],
  ])('interrupted in %s at %d and resumed, gives the same weights bit for bit', async (stage, at) => {
    const out = `${stage}-${at}`;
    await expect(buildPath(request(out, abortAt(stage, at)))).rejects.toMatchObject({ code: 'interrupted' });
    const resumed = await buildPath(request(out, { resume: true }));
    expect(weightFiles(resumed)).toEqual(weightFiles(whole));
    expect(resumed.levels.map((level) => level.quality)).toEqual(whole.levels.map((level) => level.quality));
    expect(await costs(out)).toEqual(await costs('whole'));
  });

  test('killed in the middle of joint recovery and resumed, gives the same weights bit for bit', async () => {
    const recovered = { ...options, levels: 3, recover: 60, batch: 4, testSamples: 64, latencyRounds: 3 };
    const uninterrupted = await buildPath(request('recovered', { options: recovered }));
    const out = join(root, 'killed');
    const flags = { levels: 3, steps: 16, recover: 60, batch: 4, calibration: 256, workers: 2 };
    const shown = { 'test-samples': 64, 'latency-rounds': 3, data: 'mnist', id: 'digits', out };
    const given = Object.entries({ ...flags, ...shown }).flatMap(([name, value]) => [
      `--${name}`,
      `${value}`,
    ]);
    const script = new URL('../trainer/cli/main.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [script, 'build-path', model, ...given], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    // First written after 50 steps.
    const checkpoint = join(out, '.checkpoint', 'recovery-own');
    while (child.exitCode === null && !existsSync(checkpoint)) await setTimeout(10);
    child.kill('SIGKILL');
    expect(await ended).toEqual([null, 'SIGKILL']);
    const resumed = await buildPath(request('killed', { options: recovered, resume: true }));
    expect(weightFiles(resumed)).toEqual(weightFiles(uninterrupted));
  }, 600_000);

  test('an unfinished build is neither overwritten nor continued as something else', async () => {
    await expect(buildPath(request('half', abortAt('search', 5)))).rejects.toMatchObject({
      code: 'interrupted',
    });
    await expect(buildPath(request('half'))).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('--resume'),
    });
    const other = { ...options, seed: 1 };
    await expect(buildPath(request('half', { resume: true, options: other }))).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringMatching(/options: seed was 0 and is 1\.$/),
    });
    await expect(verifyArtifact(join(root, 'half'), silentProgress)).rejects.toMatchObject({
      code: 'unknown-artifact',
    });
  });

  test('other options behind the search keep what was searched, and end as if they had been given at once', async () => {
    const plain = { ...options, compensate: false, testSamples: 64, latencyRounds: 3 };
    const interrupted = request('changed', { ...abortAt('measure', 1), options: plain });
    await expect(buildPath(interrupted)).rejects.toMatchObject({ code: 'interrupted' });
    const other = { ...plain, levels: 3, recover: 2 };
    const stages: string[] = [];
    const progress: Progress = {
      note: () => {},
      stage: (name) => {
        stages.push(name);
        return { update: () => {}, finish: () => {} };
      },
    };
    const resumed = await buildPath(request('changed', { resume: true, options: other, progress }));
    expect(stages).not.toContain('curvature');
    const atOnce = await buildPath(request('at-once', { options: other }));
    expect(weightFiles(resumed)).toEqual(weightFiles(atOnce));
    expect(resumed.model).toEqual(atOnce.model);
  });

  test('a recovery that leaves nothing of the dense level says so, in the report too', async () => {
    const notes: string[] = [];
    const progress = { ...silentProgress, note: (message: string) => notes.push(message) };
    const few = { ...options, compensate: false, testSamples: 32, latencyRounds: 3 };
    const far = { ...few, levels: 2, recover: 12, recoverRate: 0.99 };
    await buildPath(request('astray', { options: far, progress }));
    const said = expect.stringMatching(/dense level .* nats from the model as it was.*--recover-rate/);
    expect(notes).toContainEqual(said);
    const report = JSON.parse(await readFile(join(root, 'astray', 'report.json'), 'utf8'));
    expect(report.notes).toContainEqual(said);
  });

  test('options that do not fit the model leave nothing that the right ones would have to be forced over', async () => {
    const wrong = { ...options, outputs: ['nope'] };
    await expect(buildPath(request('outputs', { options: wrong }))).rejects.toMatchObject({ code: 'usage' });
    const notes: string[] = [];
    const aborting = abortAt('search', 1);
    const progress = { ...aborting.progress, note: (message: string) => notes.push(message) };
    await expect(
      buildPath(request('outputs', { ...aborting, resume: true, progress })),
    ).rejects.toMatchObject({ code: 'interrupted' });
    expect(notes).toContainEqual(expect.stringContaining('nothing to go on with'));
  });

  test('levels that would keep the same units are one, and the run says so', async () => {
    const notes: string[] = [];
    const progress = { ...silentProgress, note: (message: string) => notes.push(message) };
    const grid = [0.5, 0.50001, 0.3, 0.3, 0.99999];
    const few = { ...options, grid, compensate: false, testSamples: 32, latencyRounds: 3 };
    const { levels } = await buildPath(request('repeated', { options: few, progress }));
    expect(levels.map(({ widths }) => widths.join()).length).toBe(
      new Set(levels.map(({ widths }) => widths.join())).size,
    );
    expect(levels.map(({ relativeFlops }) => Math.round(10 * relativeFlops))).toEqual([3, 5, 10, 10]);
    expect(notes).toContainEqual(expect.stringContaining('50.0 %'));
  });

  test('a run that had come to its end is gone on with by giving what it has left', async () => {
    const stages: string[] = [];
    const stage = (name: string) => {
      stages.push(name);
      return { update: () => {}, finish: () => {} };
    };
    const again = request('whole', { resume: true, progress: { note: () => {}, stage } });
    expect(await buildPath(again)).toEqual(whole);
    expect(stages).toEqual(['prepare']);
    const other = { ...options, levels: 3 };
    await expect(buildPath({ ...again, options: other })).rejects.toMatchObject({ code: 'usage' });
  });

  test('a finished artifact is not overwritten unasked', async () => {
    await expect(buildPath(request('whole'))).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('--force'),
    });
  });

  test('a directory that nothing can be written to is said before any work', async () => {
    const stages: string[] = [];
    const stage = (name: string) => {
      stages.push(name);
      return { update: () => {}, finish: () => {} };
    };
    await writeFile(join(root, 'a-file'), '');
    for (const out of ['a-file', join('a-file', 'below', 'it')])
      await expect(
        buildPath(request(out, { force: true, progress: { note: () => {}, stage } })),
      ).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('a-file') });
    expect(stages).toEqual([]);
  });

  test('a disk that is full is said with the way to go on', async () => {
    // A folder in the place of a file that is to be written: what the system says differs from that of a full disk, and nothing else.
    const blocked = request('blocked', { options: { ...options, testSamples: 32, latencyRounds: 3 } });
    await mkdir(join(root, 'blocked', 'graph.onnx'), { recursive: true });
    await expect(buildPath(blocked)).rejects.toMatchObject({
      code: 'not-written',
      message: expect.stringContaining('graph.onnx'),
      hint: expect.stringContaining('--resume'),
    });
    await rm(join(root, 'blocked', 'graph.onnx'), { recursive: true });
    const { model: made } = await buildPath({ ...blocked, resume: true });
    expect(made.id).toBe('digits');
  });

  test('a damaged checkpoint is named, not guessed at', async () => {
    await expect(buildPath(request('damaged', abortAt('search', 11)))).rejects.toMatchObject({
      code: 'interrupted',
    });
    await writeFile(join(root, 'damaged', '.checkpoint', 'search'), 'nonsense');
    await expect(buildPath(request('damaged', { resume: true }))).rejects.toMatchObject({
      code: 'bad-checkpoint',
    });
  });

  test('the dense level answers as the file it was built from', async () => {
    const artifact = await openArtifact(join(root, 'whole'));
    const original = await logits(new Uint8Array(await readFile(model)));
    expect(
      relativeError((await logits(await levelBytes(artifact, whole.levels.length - 1))).data, original.data)
        .relative,
    ).toBeLessThan(1e-4);
  });

  test('every level answers as the dense graph with its masks', async () => {
    const artifact = await openArtifact(join(root, 'whole'));
    for (const { level } of whole.levels) {
      const masked = await logits(writeOnnx(await maskedLevel(artifact, level)));
      expect(
        relativeError((await logits(await levelBytes(artifact, level))).data, masked.data).relative,
      ).toBeLessThan(1e-4);
    }
  });
});

describe('bad input', () => {
  test('a model file that is cut off', async () => {
    const bytes = await readFile(model);
    const path = join(root, 'cut.onnx');
    await writeFile(path, bytes.subarray(0, bytes.length / 2));
    await expect(buildPath(request('cut', { modelPath: path }))).rejects.toMatchObject({ code: 'bad-model' });
  });

  test('a file that is no model, and one that is not there', async () => {
    const path = join(root, 'text.onnx');
    await writeFile(path, 'this is not a model');
    await expect(buildPath(request('text', { modelPath: path }))).rejects.toMatchObject({
      code: 'bad-model',
    });
    await expect(buildPath(request('none', { modelPath: join(root, 'none.onnx') }))).rejects.toMatchObject({
      code: 'bad-model',
    });
  });

  test('data of another shape than the model takes', async () => {
    const directory = join(root, 'wide');
    await mkdir(directory);
    const header = (...dims: number[]) => {
      const bytes = Buffer.alloc(4 + 4 * dims.length);
      bytes.set([0, 0, 8, dims.length]);
      for (const [i, dim] of dims.entries()) bytes.writeUInt32BE(dim, 4 + 4 * i);
      return bytes;
    };
    for (const prefix of ['train', 't10k']) {
      await writeFile(
        join(directory, `${prefix}-images-idx3-ubyte`),
        Buffer.concat([header(2, 4, 4), Buffer.alloc(32)]),
      );
      await writeFile(
        join(directory, `${prefix}-labels-idx1-ubyte`),
        Buffer.concat([header(2), Buffer.alloc(2)]),
      );
    }
    const wide = await openDataset(`idx:${directory}`);
    await expect(buildPath(request('wide-out', { dataset: wide }))).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('[1, 4, 4]'),
    });
  });

  test('labels that are none of the classes, before anything is computed', async () => {
    const stages: string[] = [];
    const stage = (name: string) => {
      stages.push(name);
      return { update: () => {}, finish: () => {} };
    };
    const labels = (indices: readonly number[]) =>
      Int32Array.from(indices, (index) => (index === 150 ? 10 : 0));
    const strange = { ...dataset, test: { ...dataset.test, labels } };
    await expect(
      buildPath(request('strange', { dataset: strange, progress: { note: () => {}, stage } })),
    ).rejects.toMatchObject({ code: 'bad-data', message: expect.stringContaining('label 10') });
    expect(stages).toEqual(['prepare']);
  });

  test('inputs so large that the dense model overflows', async () => {
    const huge = await openMnist({ scale: 1e30, mean: [0], std: [1e-30] });
    await expect(buildPath(request('huge', { dataset: huge }))).rejects.toMatchObject({
      code: 'numerical-failure',
    });
  });
});
