/**
 * A level's model beside the packed file of another one: what lies alike in both is taken from that file, so that it is in memory
 * once and this level is the faster for it too. Pure.
 *
 * - A block of outputs (`output-blocks.ts`), and a matrix without units, is the same in both.
 * - A matrix whose inputs are units is the first rows of the other's. Kernels read packed rows in slices of 256, so that whole slices
 *   are the beginning of what the other has packed; the level's input is filled up with zeros to the end of its last slice:
 *
 *     y = x S[0..w]   -->   y = [x | 0] S[0..256 ceil(w / 256)]
 *
 * That packed data is what the level's would be is not taken on trust: onnxruntime packs each matrix when it loads it, and maps the
 * file's data where that has the same hash. It keeps its own else. All that is not in the packed file lies as it did.
 */
import { clone, create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { type ExternalData, externalData, setExternalData } from './external-data.ts';
import { prefixHashes } from './prepacked-key.ts';
import { flagOf, type User, usersOf } from './shared-layout.ts';

export interface PackedOther {
  /** The other level's model as its views lie. */
  readonly lying: ModelProto;
  /** The same as onnxruntime has packed it. */
  readonly packed: ModelProto;
  /** Of a model's file of weights. */
  readonly read: (model: 'lying' | 'packed', offset: number, bytes: number) => Uint8Array;
}

/** Rows of a slice: `MLAS_SGEMM_PACKED_STRIDEK` of onnxruntime's kernels. */
const SLICE_ROWS = 256;
/** What is multiplied by zeros is lost, up to about what packing saves. */
const MOST_FILLED = 1.25;

/** What a packed file offers to levels that lie beside it. */
export type PackedShelf = (level: ModelProto) => ModelProto;

/** @returns makes a level's model beside that file; a tensor's hashes are computed once for all levels */
export function packedShelf({ lying, packed, read }: PackedOther): PackedShelf {
  const lyingTensors = byName(lying);
  const packedTensors = byName(packed);
  const hashes = new Map<string, bigint[]>();
  const alike = new Map<string, boolean>();

  /** Whether onnxruntime kept a tensor under its name as it was, and has packed it. */
  const isKept = (name: string): boolean => {
    const known = alike.get(name);
    if (known !== undefined) return known;
    const [before, after] = [lyingTensors.get(name), packedTensors.get(name)];
    const isAlike =
      before !== undefined &&
      after !== undefined &&
      packedOf(after) !== undefined &&
      String(before.dims) === String(after.dims) &&
      Buffer.compare(dataOf('lying', before), dataOf('packed', after)) === 0;
    alike.set(name, isAlike);
    return isAlike;
  };
  const dataOf = (model: 'lying' | 'packed', tensor: TensorProto) => {
    const { offset = 0, length = 0 } = externalData(tensor);
    return read(model, offset, length);
  };

  /** The first rows of a packed matrix, as external data; undefined where it is not packed in slices. */
  const firstRows = (name: string, rows: number): ExternalData | undefined => {
    const tensor = packedTensors.get(name);
    const of = tensor && packedOf(tensor);
    if (tensor === undefined || of === undefined) return undefined;
    const [all, columns] = tensor.dims.map(Number) as [number, number];
    const rowBytes = of.bytes / all;
    // Kernels fill columns up to 16, and rows not at all.
    if (rowBytes !== 4 * 16 * Math.ceil(columns / 16)) return undefined;
    const slices = Math.floor(all / SLICE_ROWS);
    let known = hashes.get(name);
    if (known === undefined) {
      const ends = Array.from({ length: slices }, (_, i) => (i + 1) * SLICE_ROWS * rowBytes);
      known = prefixHashes(read('packed', of.offset, of.bytes), ends);
      hashes.set(name, known);
    }
    const hash = known[rows / SLICE_ROWS - 1];
    if (hash === undefined) return undefined;
    const { location, offset } = externalData(tensor);
    return {
      location,
      offset: offset ?? 0,
      length: 4 * rows * columns,
      prepacked_0: `${of.kernel}+${hash}|${of.offset};${rows * rowBytes};${of.alignment}`,
    };
  };

  return (level) => {
    const model = clone(ModelProtoSchema, level);
    const graph = model.graph;
    if (graph === undefined) return model;
    const users = usersOf(model);
    const filled = new Map<NodeProto, number>();
    for (const tensor of graph.initializer) {
      const { location, offset } = externalData(tensor);
      if (location === undefined) continue;
      const other = lyingTensors.get(tensor.name);
      const same = other !== undefined && externalData(other).offset === offset ? other : undefined;
      const taken = packedTensors.get(tensor.name);
      if (same !== undefined && taken !== undefined && isKept(tensor.name)) {
        if (String(same.dims) === String(tensor.dims)) {
          tensor.externalData = clone(TensorProtoSchema, taken).externalData;
          continue;
        }
        const uses = users.get(tensor.name) ?? [];
        const [rows = 0, columns] = tensor.dims.map(Number);
        const whole = SLICE_ROWS * Math.ceil(rows / SLICE_ROWS);
        const first =
          uses.every(takesRows) && Number(same.dims[1]) === columns && whole <= rows * MOST_FILLED
            ? firstRows(tensor.name, whole)
            : undefined;
        if (first !== undefined) {
          tensor.dims = [BigInt(whole), ...tensor.dims.slice(1)];
          setExternalData(tensor, first);
          for (const { node } of uses) filled.set(node, whole - rows);
          continue;
        }
      }
      letLie(graph, tensor);
    }
    fillInputs(graph, filled);
    return model;
  };
}

const byName = ({ graph }: ModelProto) =>
  new Map((graph?.initializer ?? []).map((tensor) => [tensor.name, tensor]));

const PREPACKED = /^(?<kernel>\w+)\+\d+\|(?<offset>\d+);(?<bytes>\d+);(?<alignment>\d+)$/;

/** What onnxruntime has packed of a tensor, where that is one piece. */
function packedOf(tensor: TensorProto) {
  const found = PREPACKED.exec(externalData(tensor).prepacked_0 ?? '')?.groups;
  if (found === undefined) return undefined;
  const { kernel = '', offset, bytes, alignment = '' } = found;
  return { kernel, offset: Number(offset), bytes: Number(bytes), alignment };
}

/** Whether the columns of the first input are the rows of the second. */
function takesRows({ node, input }: User): boolean {
  const isProduct = ['MatMul', 'FusedMatMul', 'Gemm'].includes(node.opType);
  return isProduct && input === 1 && !flagOf(node, 'transA') && !flagOf(node, 'transB');
}

/** An initializer that is an input, too, could be another at the next run, so that kernels do not pack it. */
function letLie(graph: GraphProto, { name, dataType, dims }: TensorProto): void {
  if (graph.input.some((input) => input.name === name)) return;
  const dim = dims.map((size) => ({ value: { case: 'dimValue' as const, value: size } }));
  graph.input.push(
    create(ValueInfoProtoSchema, {
      name,
      type: { value: { case: 'tensorType', value: { elemType: dataType, shape: { dim } } } },
    }),
  );
}

/** Puts so many zeros behind the last axis of nodes' first inputs, whatever the number of their axes. */
function fillInputs(graph: GraphProto, filled: ReadonlyMap<NodeProto, number>): void {
  let made = 0;
  const constant = (value: number) => {
    const name = `beside/constant${made++}`;
    const rawData = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
    graph.initializer.push(create(TensorProtoSchema, { name, dims: [1n], dataType: INT64, rawData }));
    return name;
  };
  const node = (opType: string, input: string[], axis?: bigint) => {
    const name = `beside/value${made++}`;
    const attribute =
      axis === undefined ? [] : [create(AttributeProtoSchema, { name: 'axis', type: INT, i: axis })];
    return create(NodeProtoSchema, { name, opType, input, output: [name], attribute });
  };
  graph.node = graph.node.flatMap((user) => {
    const count = filled.get(user) ?? 0;
    if (count === 0) return [user];
    const [value = ''] = user.input;
    const shape = node('Shape', [value]);
    const before = node('Slice', [shape.name, constant(0), constant(-1)]);
    const zerosShape = node('Concat', [before.name, constant(count)], 0n);
    const zeros = node('ConstantOfShape', [zerosShape.name]);
    const whole = node('Concat', [value, zeros.name], -1n);
    user.input = [whole.name, ...user.input.slice(1)];
    return [shape, before, zerosShape, zeros, whole, user];
  });
}

const INT = 2;
const INT64 = 7;
