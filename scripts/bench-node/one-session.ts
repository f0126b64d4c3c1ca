/**
 * The other way to hold all levels in memory once: one session that takes the level as an input and cuts its weights by it,
 * beside a session for each level whose weights are views. What it saves is sessions; what it costs is that a run copies the
 * rows that it keeps, as onnxruntime's Slice does, and that no level can be packed.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sessionOptions } from '../../infra/node/execution/session-options.ts';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { parseGraph } from '../../infra/node/weights/shared-graph.ts';
import { openWeightFile } from '../../infra/node/weights/weight-file.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { median, rounded } from '../local/statistics.ts';
import { type BenchArtifact, benchArtifact } from './artifacts.ts';
import { pssMb } from './node-under-test.ts';

export interface OneSessionOptions {
  readonly size: BenchArtifact['size'];
  readonly levels: number;
  /** For the artifact, and for its weights as a node lays them out. */
  readonly directory: string;
  readonly rounds: number;
}

export async function oneSession({ size, levels, directory, rounds }: OneSessionOptions) {
  const artifact = await openArtifact(
    await benchArtifact(directory, { size, levels, from: 0.2, own: false }),
  );
  const { manifest } = artifact;
  const own = join(directory, `one-session-${manifest.model.id}`);
  await mkdir(own, { recursive: true });
  const file = await openWeightFile(artifact, own);
  const paths: string[] = [];
  for (const { level } of manifest.levels) paths.push(await file.model(level));
  const models = await Promise.all(paths.map(async (path) => parseGraph(await readFile(path))));
  const path = join(own, 'one-session.onnx');
  await writeFile(path, toBinary(ModelProtoSchema, levelAsInput(models)));

  const { feeds } = zeroInputs(manifest.inputs);
  const inputs = Object.fromEntries(
    feeds.map(({ name, type, data, dims }) => [name, new Tensor(type as Tensor.Type, data, dims)]),
  );
  const run = async (session: InferenceSession, more: Record<string, Tensor> = {}) => {
    const begunMs = performance.now();
    const outputs = await session.run({ ...inputs, ...more });
    return { ms: performance.now() - begunMs, outputs: Object.values(outputs)[0]?.data };
  };
  const pss = () => pssMb(process.pid);

  const beforeMb = await pss();
  const one = await InferenceSession.create(
    path,
    sessionOptions('cpu', { packed: false, keepsScratch: false }),
  );
  const levelInput = (level: number) => ({
    [LEVEL]: new Tensor('int64', BigInt64Array.of(BigInt(level)), [1]),
  });
  for (const { level } of manifest.levels) await run(one, levelInput(level));
  const oneMb = (await pss()) - beforeMb;
  const views: InferenceSession[] = [];
  const viewsBeforeMb = await pss();
  for (const viewPath of paths) {
    const session = await InferenceSession.create(
      viewPath,
      sessionOptions('cpu', { packed: false, keepsScratch: false }),
    );
    views.push(session);
    await run(session);
  }
  const viewsMb = (await pss()) - viewsBeforeMb;

  const measured = [];
  for (const level of [...new Set([0, Math.floor(manifest.levels.length / 2), manifest.levels.length - 1])]) {
    const packed = await InferenceSession.create(paths[level] ?? '', sessionOptions('cpu'));
    const view = views[level];
    if (view === undefined) continue;
    const times: { one: number[]; view: number[]; packed: number[] } = { one: [], view: [], packed: [] };
    for (let round = -1; round < rounds; round++) {
      const single = await run(one, levelInput(level));
      const plain = await run(view);
      const fast = await run(packed);
      if (!near(single.outputs, plain.outputs))
        throw new Error(`level ${level} answers otherwise in one session`);
      if (round < 0) continue;
      times.one.push(single.ms);
      times.view.push(plain.ms);
      times.packed.push(fast.ms);
    }
    await packed.release();
    measured.push({
      level,
      oneSessionMs: rounded(median(times.one), 2),
      viewMs: rounded(median(times.view), 2),
      packedMs: rounded(median(times.packed), 2),
      toView: rounded(median(times.one) / median(times.view)),
    });
  }
  await file.close();
  return {
    artifact: manifest.model.id,
    levels: measured,
    oneSessionMb: rounded(oneMb, 0),
    /** In memory already: the pages of the weights that the one session has read. */
    viewSessionsMb: rounded(viewsMb, 0),
  };
}

const LEVEL = 'level';
const INT64 = 7;

/** One model for all levels, from theirs: what differs between them is picked, or cut, by the input `level`, an int64 [1]. */
function levelAsInput(models: readonly ModelProto[]): ModelProto {
  const dense = models.at(-1);
  const graph = dense?.graph;
  if (dense === undefined || graph === undefined) throw new Error('there is no level');
  const tensors = models.map((model) => new Map(model.graph?.initializer.map((each) => [each.name, each])));
  const nodes: typeof graph.node = [];
  const initializers: TensorProto[] = [];
  const ints = (name: string, dims: readonly number[], values: readonly number[]) => {
    initializers.push(
      create(TensorProtoSchema, {
        name,
        dims: dims.map(BigInt),
        dataType: INT64,
        rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
      }),
    );
    return name;
  };
  const node = (opType: string, input: string[], output: string, attribute: AttributeProto[] = []) => {
    nodes.push(
      create(NodeProtoSchema, { name: `at-level/${output}`, opType, input, output: [output], attribute }),
    );
    return output;
  };
  const ofLevel = (name: string, values: readonly number[]) =>
    node('Gather', [ints(`${name}/table`, [values.length], values), LEVEL], `${name}/picked`);
  const zero = ints('at-level/zero', [1], [0]);

  for (const tensor of graph.initializer) {
    const each = tensors.map((level) => level.get(tensor.name) ?? tensor);
    const { name } = tensor;
    if (each.every((other) => same(other, tensor))) initializers.push(tensor);
    else if (tensor.dataType === INT64) {
      const table = each.flatMap(({ rawData }) =>
        [...new BigInt64Array(Uint8Array.from(rawData).buffer)].map(Number),
      );
      const row = node(
        'Gather',
        [ints(`${name}/table`, [models.length, table.length / models.length], table), LEVEL],
        `${name}/row`,
      );
      node('Squeeze', [row, zero], name);
    } else if (tensor.externalData.length > 0) {
      initializers.push(create(TensorProtoSchema, { ...tensor, name: `${name}/whole` }));
      const rows = each.map(({ dims }) => Number(dims[0]));
      node('Slice', [`${name}/whole`, zero, ofLevel(name, rows), zero], name);
    } else {
      // Vectors of units, one after the other.
      const ends = each.map((_, level) =>
        each.slice(0, level + 1).reduce((sum, { dims }) => sum + Number(dims[0]), 0),
      );
      const starts = [0, ...ends.slice(0, -1)];
      const rawData = Uint8Array.from(Buffer.concat(each.map((other) => other.rawData)));
      initializers.push(
        create(TensorProtoSchema, {
          name: `${name}/all`,
          dims: [BigInt(ends.at(-1) ?? 0)],
          dataType: tensor.dataType,
          rawData,
        }),
      );
      node(
        'Slice',
        [`${name}/all`, ofLevel(`${name}/starts`, starts), ofLevel(`${name}/ends`, ends), zero],
        name,
      );
    }
  }
  const input = create(ValueInfoProtoSchema, {
    name: LEVEL,
    type: {
      value: {
        case: 'tensorType',
        value: { elemType: INT64, shape: { dim: [{ value: { case: 'dimValue', value: 1n } }] } },
      },
    },
  });
  return create(ModelProtoSchema, {
    ...dense,
    graph: {
      ...graph,
      node: [...nodes, ...graph.node],
      initializer: initializers,
      input: [...graph.input, input],
    },
  });
}

function same(a: TensorProto, b: TensorProto): boolean {
  return a.dims.join() === b.dims.join() && Buffer.compare(a.rawData, b.rawData) === 0;
}

function near(a: Tensor['data'] | undefined, b: Tensor['data'] | undefined): boolean {
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  return Array.from(a as ArrayLike<number>).every((value, i) => Math.abs(value - Number(b[i])) <= 1e-3);
}

export function oneSessionReport(result: Awaited<ReturnType<typeof oneSession>>): string {
  return [
    `${result.artifact}: batch 1, one thread, medians`,
    '',
    'level   one session, ms   a session each, ms   packed, ms   one to each',
    ...result.levels.map(
      ({ level, oneSessionMs, viewMs, packedMs, toView }) =>
        `${String(level).padStart(5)}   ${String(oneSessionMs).padStart(15)}   ${String(viewMs).padStart(18)}   ${String(packedMs).padStart(10)}   ${toView}`,
    ),
    '',
    `memory: ${result.oneSessionMb} MB for the one session with the weights that it maps, ${result.viewSessionsMb} MB more for a session each on the same pages`,
    '',
  ].join('\n');
}
