/** A level as an ONNX model whose weights are views of the file that `shared-layout.ts` describes. Pure. */
import { clone, create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from 'onnx-buf';
import { decodeTensor, levelDims } from '../../../schema/artifact/layout.ts';
import { levelOf, setShapeConstants } from '../../../schema/artifact/level-model.ts';
import { SppError } from '../../../schema/errors.ts';
import type { Manifest, ManifestTensor } from '../../../schema/manifest.ts';
import { setExternalData } from './external-data.ts';
import { cutOutputs, levelEnds } from './output-blocks.ts';
import { flagOf, type RowsPlace, type SharedLayout, usersOf } from './shared-layout.ts';

export interface SharedModelOptions {
  readonly manifest: Manifest;
  readonly layout: SharedLayout;
  /** The artifact's graph. */
  readonly graph: ModelProto;
  readonly level: number;
  /** The weight file's name, beside which the model will lie. */
  readonly file: string;
  /** What a level adds to a tensor that lies in parts. */
  readonly part: (tensor: ManifestTensor, level: number) => Float32Array;
  /** Whether matrices whose units are outputs are cut where levels end (`output-blocks.ts`); false unless told. */
  readonly inBlocks?: boolean;
}

export function parseGraph(bytes: Uint8Array): ModelProto {
  return fromBinary(ModelProtoSchema, bytes);
}

/** @throws `bad-artifact` when the graph lacks a tensor that the manifest names */
export function sharedModel({
  manifest,
  layout,
  graph,
  level,
  file,
  part,
  inBlocks = false,
}: SharedModelOptions): Uint8Array<ArrayBuffer> {
  const { widths, own } = levelOf(manifest, level);
  const model = clone(ModelProtoSchema, graph);
  const proto = model.graph;
  if (proto === undefined) throw new SppError('bad-artifact', 'The graph file holds no graph.');
  const initializers = new Map(proto.initializer.map((tensor) => [tensor.name, tensor]));
  const allWidths = manifest.levels.map((entry) => entry.widths);
  setShapeConstants(manifest, initializers, widths);

  const view = (target: TensorProto, dims: readonly number[], offset: number) => {
    target.dims = dims.map(BigInt);
    setExternalData(target, { location: file, offset, length: 4 * dims.reduce((a, b) => a * b, 1) });
  };

  const turned: { tensor: ManifestTensor; place: RowsPlace }[] = [];
  for (const tensor of manifest.tensors) {
    const target = initializers.get(tensor.name);
    if (target === undefined)
      throw new SppError(
        'bad-artifact',
        `The graph has no initializer ${tensor.name}, which the manifest names.`,
      );
    const dims = levelDims(tensor, widths);
    const place = layout.places.get(tensor.name);
    const extent = own?.extents.find((candidate) => candidate.tensor === tensor.name);
    if (extent !== undefined) view(target, dims, (layout.ownOffsets[level] ?? 0) + extent.offset);
    else if (place === undefined)
      throw new SppError(
        'bad-artifact',
        `Level ${level} has no values of ${tensor.name}, which other levels own.`,
      );
    else if (place.kind === 'parts') {
      const parts = manifest.levels.slice(0, level + 1).map((entry) => part(tensor, entry.level));
      const data = decodeTensor(tensor, allWidths, level, parts);
      target.dims = dims.map(BigInt);
      target.rawData = Uint8Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      target.externalData = [];
      target.dataLocation = TensorProto_DataLocation.DEFAULT;
    } else if (!place.turned) view(target, dims, place.offset);
    else {
      const { axis: at = 0 } = place.axis ?? {};
      view(target, [dims[at] ?? 0, dims[1 - at] ?? 0], place.offset);
      turned.push({ tensor, place });
    }
  }
  turnUsers(model, turned, widths);
  if (inBlocks) cutOutputs(model, levelEnds({ manifest, layout }, level));
  return Uint8Array.from(toBinary(ModelProtoSchema, model));
}

/** Lets the nodes that take a turned matrix take it as it lies, and puts the units of several heads back in their order. */
function turnUsers(
  model: ModelProto,
  turned: readonly { tensor: ManifestTensor; place: RowsPlace }[],
  widths: readonly number[],
): void {
  const proto = model.graph;
  if (proto === undefined || turned.length === 0) return;
  const users = usersOf(model);
  const before = new Map<NodeProto, NodeProto[]>();
  const after = new Map<NodeProto, NodeProto[]>();
  let made = 0;
  const constant = (values: readonly number[]) => {
    const name = `shared/shape${made++}`;
    const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    proto.initializer.push(
      create(TensorProtoSchema, { name, dims: [BigInt(values.length)], dataType: INT64, rawData }),
    );
    return name;
  };
  const node = (opType: string, input: string[], output: string, perm?: readonly number[]) =>
    create(NodeProtoSchema, {
      name: `shared/node${made++}`,
      opType,
      input,
      output: [output],
      attribute: perm === undefined ? [] : [{ name: 'perm', type: INTS, ints: perm.map(BigInt) }],
    });
  /** Nodes from `input` to `output`, whose last axis [a, b, inner] becomes [b, a, inner]. */
  const swap = (input: string, output: string, [a, b, inner]: readonly [number, number, number]) => {
    const [shape, split, swapped] = [0, 1, 2].map(() => `shared/value${made++}`) as [string, string, string];
    return [
      node('Shape', [input], shape),
      node('Reshape', [input, constant([-1, a, b, inner])], split),
      node('Transpose', [split], swapped, [0, 2, 1, 3]),
      node('Reshape', [swapped, shape], output),
    ];
  };

  for (const { tensor, place } of turned) {
    const { axis } = place;
    if (axis === undefined) continue;
    const { outer, inner } = axis;
    const width = widths[axis.pair] ?? 0;
    for (const { node: user } of users.get(tensor.name) ?? []) {
      const transposed = user.opType === 'Gemm' && flagOf(user, 'transB');
      const contracted = (axis.axis === 0) !== transposed;
      setTransposed(user, !contracted);
      if (outer === 1) continue;
      const [value = '', weight = '', bias] = user.input;
      if (contracted) {
        const ordered = `shared/value${made++}`;
        user.input = [ordered, weight, ...(bias === undefined ? [] : [bias])];
        before.set(user, swap(value, ordered, [outer, width, inner]));
      } else {
        const [output = ''] = user.output;
        const raw = `shared/value${made++}`;
        const ordered = bias === undefined ? output : `shared/value${made++}`;
        user.input = [value, weight];
        user.output = [raw];
        after.set(user, [
          ...swap(raw, ordered, [width, outer, inner]),
          ...(bias === undefined ? [] : [node('Add', [ordered, bias], output)]),
        ]);
      }
    }
  }
  proto.node = proto.node.flatMap((each) => [...(before.get(each) ?? []), each, ...(after.get(each) ?? [])]);
  if (
    proto.node.some(({ domain }) => domain === CONTRIB) &&
    !model.opsetImport.some(({ domain }) => domain === CONTRIB)
  )
    model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: CONTRIB, version: 1n }));
}

/** MatMul has no flag for it; onnxruntime's FusedMatMul is the one that has. */
function setTransposed(user: NodeProto, transposed: boolean): void {
  if (user.opType === 'MatMul') {
    if (!transposed) return;
    user.opType = 'FusedMatMul';
    user.domain = CONTRIB;
  }
  user.attribute = user.attribute.filter(({ name }) => name !== 'transB');
  user.attribute.push(create(AttributeProtoSchema, { name: 'transB', type: INT, i: transposed ? 1n : 0n }));
}

const CONTRIB = 'com.microsoft';
const INT64 = 7;
const INT = 2;
const INTS = 7;
