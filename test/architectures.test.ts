/**
 * Every exported architecture on the whole road: data from files, build-path, the artifact's levels against the dense graph
 * with masks, and for one exporter of each the node and the gateway, at two batch sizes and lengths.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { assembleLevel, filesOfLevel } from '../schema/artifact/level-model.ts';
import { type Artifact, openArtifact } from '../schema/artifact/store.ts';
import type { InferResponse } from '../schema/protocol.ts';
import { buildPath } from '../trainer/build/build-path.ts';
import { buildOptionsSchema } from '../trainer/build/options.ts';
import { silentProgress } from '../trainer/build/progress.ts';
import { dataSettings } from '../trainer/cli/data-flags.ts';
import { openDataset } from '../trainer/data/open-dataset.ts';
import type { Tensor, ValueInfo } from '../trainer/graph/graph.ts';
import { writeOnnx } from '../trainer/graph/onnx-file.ts';
import { readOnnxFile } from '../trainer/graph/onnx-load.ts';
import { relativeError } from '../trainer/graph/relative-error.ts';
import { createOrtSession } from '../trainer/runtime/ort-session.ts';
import { sampleInputs } from '../trainer/runtime/sample-inputs.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { secrets, type TestGateway, testGateway } from './support/gateway.ts';
import { maskedLevel } from './support/masked-level.ts';
import { disposables, readyNode, temporaryDirectory } from './support/node-client.ts';

const GRAPHS = new URL('../../shared/models/graphs/', import.meta.url);
const EXPORTERS = ['dynamo', 'ts'] as const;

/** float32 sums in another order, a few layers deep. */
const PARITY = 1e-4;

/** What each is built from, and what its path keeps. */
const architectures = {
  deit_timm: { data: 'images', task: 'classification', metric: 'accuracy' },
  swin_timm: { data: 'images', task: 'classification', metric: 'accuracy' },
  vit_hf: { data: 'images', task: 'classification', metric: 'accuracy' },
  clip_hf: { data: 'pairs', task: 'contrastive', metric: 'retrieval' },
  bert_hf: { data: 'labelled', task: 'classification', metric: 'accuracy' },
  gpt2_hf: { data: 'text', task: 'next-token', metric: 'next-token-accuracy' },
  opt_hf: { data: 'text', task: 'next-token', metric: 'next-token-accuracy' },
  llama_hf: { data: 'text', task: 'next-token', metric: 'next-token-accuracy' },
} as const;
type Architecture = keyof typeof architectures;
const names = Object.keys(architectures) as Architecture[];

type Feeds = Record<string, Tensor>;

describe.skipIf(!existsSync(GRAPHS))('exported models (skipped where ../shared/models is absent)', () => {
  const scope = disposables();
  let root: string;
  let specs: Record<(typeof architectures)[Architecture]['data'], string>;

  beforeAll(async () => {
    root = await temporaryDirectory(scope);
    specs = await writeData(root);
  });
  afterAll(() => scope.dispose());

  const fileOf = (name: string, exporter: string) => new URL(`${name}.${exporter}.onnx`, GRAPHS).pathname;
  const directoryOf = (name: string, exporter: string) => join(root, `${name}-${exporter}`);

  describe.each(names)('%s', (name) => {
    test.each(EXPORTERS)('by %s: levels answer as the dense graph with their masks', async (exporter) => {
      const modelPath = fileOf(name, exporter);
      const graph = readOnnxFile(modelPath);
      const { data, task, metric } = architectures[name];
      const flags = {
        crop: '1',
        maxBad: '0',
        tokenizer: `chars:${join(root, 'characters.json')}`,
        ...(data === 'text' || data === 'labelled' ? { length: '12' } : {}),
      };
      const out = directoryOf(name, exporter);
      const manifest = await buildPath({
        modelPath,
        dataset: await openDataset(specs[data], dataSettings(flags, graph.inputs)),
        out,
        options: buildOptionsSchema.parse({
          id: idOf(name),
          levels: 2,
          // Both levels stay, and the dense one is the file's own function.
          frontier: false,
          recover: 'off',
          steps: 10,
          batch: 4,
          calibration: 64,
          testSamples: 4,
          latencyRounds: 3,
          workers: 1,
          backend: 'onnxruntime',
        }),
        resume: false,
        force: false,
        progress: silentProgress,
      });
      expect(manifest.task).toBe(task);
      expect(manifest.levels.map(({ quality }) => quality.metric)).toEqual([metric, metric]);

      const artifact = await openArtifact(out);
      const [small, large] = feedsOf(name, exporter);
      const original = await run(new Uint8Array(readFileSync(modelPath)), small);
      expectEqual(await run(await levelBytes(artifact, 1), small), original);
      // The top level has nothing masked.
      const [cut, masked] = [await levelBytes(artifact, 0), writeOnnx(await maskedLevel(artifact, 0))];
      for (const feeds of [small, large]) expectEqual(await run(cut, feeds), await run(masked, feeds));
    });
  });

  describe('behind gateway and nodes', () => {
    /** Each exporter's habits once in a while: half of the architectures from either. */
    const served = names.map((name, i) => ({
      name,
      exporter: EXPORTERS[i % 2] as (typeof EXPORTERS)[number],
    }));
    let gateway: TestGateway;

    beforeAll(async () => {
      const nodes = [];
      for (const { name, exporter } of served) {
        const node = await readyNode(scope, {
          artifact: directoryOf(name, exporter),
          token: secrets.nodeToken,
        });
        nodes.push({ name, url: node.url });
      }
      gateway = await testGateway(scope, { nodes });
      for (const { name, exporter } of served)
        await uploadArtifact({
          dir: directoryOf(name, exporter),
          url: gateway.url,
          token: secrets.operatorToken,
        });
      // Nodes that measure themselves while eight start in one process report late: the gateway says when it has heard all.
      for (const { name } of served)
        await vi.waitFor(
          async () =>
            expect((await gateway.client('GET', `/v2/models/${idOf(name)}/ready`)).status, name).toBe(200),
          { timeout: 60_000, interval: 200 },
        );
    });

    test.each(served)(
      '$name by $exporter answers as onnxruntime does, at two sizes',
      async ({ name, exporter }) => {
        const artifact = await openArtifact(directoryOf(name, exporter));
        for (const level of [0, 1])
          for (const feeds of feedsOf(name, exporter)) {
            const response = await gateway.client(
              'POST',
              `/v2/models/${idOf(name)}/versions/${level}/infer`,
              {
                body: requestOf(feeds),
                headers: { 'x-latency-budget': '600s' },
              },
            );
            const text = await response.text();
            expect(response.status, text).toBe(200);
            const { outputs } = JSON.parse(text) as InferResponse;
            const expected = await run(await levelBytes(artifact, level), feeds);
            for (const { name: output, shape, data } of outputs) {
              expect(shape).toEqual(expected[output]?.dims);
              expect(relativeError(data as number[], expected[output]?.data ?? []).relative).toBeLessThan(
                PARITY,
              );
            }
            expect(outputs.map((output) => output.name).toSorted()).toEqual(Object.keys(expected).toSorted());
          }
      },
    );
  });

  /** What the exporter recorded, and a larger batch of another length where the model leaves it free. */
  function feedsOf(name: Architecture, exporter: string): readonly [Feeds, Feeds] {
    const io = JSON.parse(readFileSync(new URL(`${name}.io.json`, GRAPHS), 'utf8')) as {
      inputs: Record<string, { shape: number[]; datatype: string; data: number[] }>;
    };
    const recorded = Object.entries(io.inputs).map(([input, { shape, datatype, data }]): [string, Tensor] => [
      input,
      datatype === 'INT64'
        ? { dtype: 'int64', dims: shape, data: BigInt64Array.from(data, BigInt) }
        : { dtype: 'float32', dims: shape, data: Float32Array.from(data) },
    ]);
    return [
      Object.fromEntries(recorded),
      sampleInputs(readOnnxFile(fileOf(name, exporter)), { batch: 3, length: 7 }, 5),
    ];
  }
});

function idOf(name: Architecture): string {
  return name.replace('_', '-');
}

async function levelBytes(artifact: Artifact, level: number): Promise<Uint8Array> {
  const { manifest } = artifact;
  const paths = filesOfLevel(manifest, level);
  const files = new Map(
    await Promise.all(paths.map(async (path) => [path, await artifact.read(path)] as const)),
  );
  return assembleLevel(manifest, await artifact.read(manifest.graph), level, files);
}

async function run(model: Uint8Array, feeds: Feeds): Promise<Feeds> {
  const session = await createOrtSession(model, { threads: 1 });
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

function expectEqual(actual: Feeds, expected: Feeds): void {
  expect(Object.keys(actual).toSorted()).toEqual(Object.keys(expected).toSorted());
  for (const [name, { dims, data }] of Object.entries(expected)) {
    expect(actual[name]?.dims).toEqual(dims);
    expect(relativeError(actual[name]?.data ?? [], data).relative, name).toBeLessThan(PARITY);
  }
}

const datatypes: Readonly<Partial<Record<ValueInfo['dtype'], string>>> = { float32: 'FP32', int64: 'INT64' };

function requestOf(feeds: Feeds) {
  const inputs = Object.entries(feeds).map(([name, { dtype, dims, data }]) => ({
    name,
    shape: dims,
    datatype: datatypes[dtype],
    data: Array.from<number | bigint, number>(data, Number),
  }));
  return { inputs };
}

const EXAMPLES = 48;

/** Noise in the forms that people have their data in. @returns what to say to --data */
async function writeData(root: string) {
  const characters = [...'abcdefghijklmnopqrstuvwxyz .\n'];
  const letter = (i: number) => characters[(i * i * 7 + 3 * i) % characters.length];
  const text = (from: number, length: number) => Array.from({ length }, (_, i) => letter(from + i)).join('');
  const image = (seed: number) =>
    sharp(
      Buffer.from(
        Array.from({ length: 3 * 40 * 40 }, (_, i) => (i * 37 + seed * 91 + ((i * seed) % 53)) % 256),
      ),
      {
        raw: { width: 40, height: 40, channels: 3 },
      },
    )
      .png()
      .toBuffer();
  const lines = (count: number, record: (i: number) => object) =>
    Array.from({ length: count }, (_, i) => JSON.stringify(record(i))).join('\n');
  await writeFile(join(root, 'characters.json'), JSON.stringify(characters));
  await writeFile(join(root, 'text.txt'), text(0, 900));
  await writeFile(
    join(root, 'labelled.jsonl'),
    lines(EXAMPLES, (i) => ({ text: text(i, 3 + (i % 9)), label: i % 3 })),
  );
  for (const folder of ['images/even', 'images/odd', 'pictures'])
    await mkdir(join(root, folder), { recursive: true });
  for (let i = 0; i < EXAMPLES; i++) {
    const png = await image(i);
    await writeFile(join(root, 'images', i % 2 ? 'odd' : 'even', `${i}.png`), png);
    await writeFile(join(root, 'pictures', `${i}.png`), png);
  }
  await writeFile(
    join(root, 'pictures', 'pairs.jsonl'),
    lines(EXAMPLES, (i) => ({ image: `${i}.png`, text: text(i, 6 + (i % 5)) })),
  );
  return {
    images: `images:${join(root, 'images')}`,
    text: `text:${join(root, 'text.txt')}`,
    labelled: `jsonl:${join(root, 'labelled.jsonl')}`,
    pairs: `jsonl:${join(root, 'pictures', 'pairs.jsonl')}`,
  };
}
