/**
 * npx node scripts/large-models/measure.ts MODEL.onnx [--length 16] [--levels 4] [--out DIR]
 * Runs the heavy steps of a build on one model by themselves, on random inputs: finding pairs, one step of the search (loss and mask
 * gradients by onnxruntime), and writing the artifact by a random order. Prints seconds and the peak of resident memory so far.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Command } from 'commander';
import { writeArtifact } from '../../schema/artifact/write.ts';
import { pathArtifact } from '../../trainer/artifact/path-artifact.ts';
import { randomOrder } from '../../trainer/baselines/orders.ts';
import { textTable } from '../../trainer/cli/table.ts';
import { createMaskEngine } from '../../trainer/engine/mask-engine.ts';
import { readOnnxFile } from '../../trainer/graph/onnx-load.ts';
import { ortModel } from '../../trainer/graph/ort-model.ts';
import { cutGraph } from '../../trainer/pairs/cut.ts';
import { preparePairs, type TracedModel } from '../../trainer/pairs/prepare.ts';
import { createOrtSession } from '../../trainer/runtime/ort-session.ts';
import { sampleInputs } from '../../trainer/runtime/sample-inputs.ts';
import { allocateLevels, evenGrid, sizeAt } from '../../trainer/search/allocate.ts';
import { indexUnits, orderByPair } from '../../trainer/search/units.ts';

interface Flags {
  readonly length: string;
  readonly levels: string;
  readonly out?: string;
}

const command = new Command('measure')
  .argument('<model>', 'an ONNX file whose first output is scores')
  .option('--length <n>', 'of free dimensions', '16')
  .option('--levels <n>', 'levels of the artifact', '4')
  .option('--out <folder>', 'where the artifact is written; a temporary folder that is deleted when absent')
  .parse();
const [file = ''] = command.args;
const flags = command.opts<Flags>();

const rows: string[][] = [];

async function timed<T>(what: string, act: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await act();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  // Kilobytes on Linux.
  rows.push([what, seconds, (process.resourceUsage().maxRSS / 2 ** 20).toFixed(2)]);
  process.stderr.write(`${what}: ${seconds} s\n`);
  return result;
}

const model = await timed('pairs', () => preparePairs(readOnnxFile(file), basename(file)));
await timed('search step', () => searchStep(model));
await timed('artifact', () => artifact(model));
process.stdout.write(`${textTable(['stage', 's', 'peak GiB so far'], rows)}\n`);
process.exit(0);

/** One example: KL from the model's own answer, moved a little by the masks. */
async function searchStep({ graph, pairs }: TracedModel): Promise<void> {
  const feeds = sampleInputs(graph, { batch: 1, length: Number(flags.length) }, 1);
  const [output] = graph.outputs;
  if (!output) throw new Error('the model has no output');
  const session = await createOrtSession(ortModel(graph));
  const answer = await session.run(feeds, [output.name]).finally(() => session.close());
  const teacher = answer[output.name];
  if (!teacher) throw new Error('the model gave no answer');
  const engine = await createMaskEngine({ graph, backend: 'onnxruntime', pairs, workers: 1 });
  const masks = pairs.map(({ units }) => Float32Array.from({ length: units }, (_, i) => 1 - (i % 2) / 10));
  const { loss } = await engine.step({ feeds, masks, loss: { kind: 'kl', output: output.name, teacher } });
  process.stderr.write(`loss ${loss}\n`);
  await engine.close();
}

async function artifact(prepared: TracedModel): Promise<void> {
  const { pairs, flops, params } = prepared;
  const flat = randomOrder(pairs, 1);
  const order = orderByPair(indexUnits(pairs), flat);
  const widths = allocateLevels(pairs, flat, prepared, evenGrid(Number(flags.levels), 0.25));
  const levels = widths.map((width) => {
    const size = sizeAt(pairs, width, prepared);
    return {
      cut: cutGraph(
        prepared,
        order.map((units, p) => units.slice(0, width[p])),
      ),
      widths: width,
      ...size,
      relativeFlops: size.flops / flops,
      relativeParams: size.params / params,
      sparsity: 1 - size.params / params,
      quality: { metric: 'fidelity', value: 0, low: 0, high: 0, samples: 1 },
      latency: [],
    };
  });
  const { graph, weights, levels: written, ...ports } = pathArtifact(prepared, order, levels, []);
  const temporary = flags.out === undefined ? await mkdtemp(join(tmpdir(), 'artifact-')) : undefined;
  await writeArtifact(flags.out ?? (temporary as string), {
    header: {
      model: { id: 'large', version: '1', sourceSha256: '0'.repeat(64) },
      createdAt: new Date(0).toISOString(),
      task: 'distillation',
      preprocessing: {},
      search: {},
      seed: 1,
      dataSha256: '0'.repeat(64),
      ...ports,
    },
    graph,
    weights,
    levels: written,
  });
  if (temporary !== undefined) await rm(temporary, { recursive: true });
}
