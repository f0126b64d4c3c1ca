/**
 * Cuts the products whose outputs are units where levels end, so that a level's matrix is the blocks of the levels up to it:
 *
 *   y = x S^T   -->   y = [x S_0^T | x S_1^T | ... | x S_k^T]        S_i the rows that level i adds
 *
 * As a whole, a matrix packed for one level is of no use to another: what kernels read first of it depends on how many columns it
 * has. A block is the same whoever takes it (`beside-packed.ts`). Pure.
 */
import { clone, create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  type ModelProto,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from 'onnx-buf';
import type { Manifest } from '../../../schema/manifest.ts';
import { externalData, setExternalData } from './external-data.ts';
import { flagOf, type SharedLayout, usersOf } from './shared-layout.ts';

/** Columns that a block has to have on average: kernels go through so many at once, and narrow products cost a run a twentieth. */
const WORTH_CUTTING = 128;

/**
 * Rows of each tensor, whose outermost axis is units, at which some level up to `level` ends, ascending; without tensors that
 * would fall into narrow blocks.
 */
export function levelEnds(
  { manifest, layout }: { readonly manifest: Manifest; readonly layout: SharedLayout },
  level: number,
): Map<string, number[]> {
  const ends = new Map<string, number[]>();
  for (const { name, dims } of manifest.tensors) {
    const place = layout.places.get(name);
    if (place?.kind !== 'rows' || place.axis === undefined || dims.length !== 2) continue;
    const { pair, outer, inner } = place.axis;
    const rows = manifest.levels.map(({ widths }) => (widths[pair] ?? 0) * outer * inner);
    const distinct = [...new Set(rows)];
    if (distinct.length < 2 || Math.max(...rows) / distinct.length < WORTH_CUTTING) continue;
    ends.set(name, [...new Set(rows.slice(0, level + 1))]);
  }
  return ends;
}

/** @param model whose initializers of these names, where they lie in a file, end where the last of their `ends` is */
export function cutOutputs(model: ModelProto, ends: ReadonlyMap<string, readonly number[]>): void {
  const graph = model.graph;
  if (graph === undefined) return;
  const users = usersOf(model);
  const blocks = new Map<string, TensorProto[]>();
  for (const tensor of graph.initializer) {
    const cuts = ends.get(tensor.name);
    const isWhole = cuts?.at(-1) === Number(tensor.dims[0]) && externalData(tensor).location !== undefined;
    if (cuts === undefined || !isWhole) continue;
    if (!(users.get(tensor.name) ?? []).every(({ node, input }) => input === 1 && givesRows(node))) continue;
    blocks.set(tensor.name, rowBlocks(tensor, cuts));
  }
  graph.initializer = graph.initializer.flatMap((tensor) => blocks.get(tensor.name) ?? [tensor]);
  graph.node = graph.node.flatMap((node) => {
    const cut = blocks.get(node.input[1] ?? '');
    return cut === undefined ? [node] : productOf(node, cut);
  });
}

/** Whether the rows of the second input are the columns of the output, and a third one can be added afterwards. */
function givesRows(node: NodeProto): boolean {
  const beta = node.attribute.find(({ name }) => name === 'beta')?.f ?? 1;
  return flagOf(node, 'transB') && (node.opType !== 'Gemm' || beta === 1);
}

function rowBlocks(tensor: TensorProto, ends: readonly number[]): TensorProto[] {
  const { location = '', offset = 0 } = externalData(tensor);
  const rowBytes = 4 * Number(tensor.dims[1]);
  return ends.map((end, i) => {
    const start = ends[i - 1] ?? 0;
    const block = clone(TensorProtoSchema, tensor);
    block.name = `${tensor.name}#${i}`;
    block.dims = [BigInt(end - start), ...tensor.dims.slice(1)];
    setExternalData(block, {
      location,
      offset: offset + start * rowBytes,
      length: (end - start) * rowBytes,
    });
    return block;
  });
}

function productOf(node: NodeProto, blocks: readonly TensorProto[]): NodeProto[] {
  const [value = '', , bias] = node.input;
  const [output = ''] = node.output;
  const products = blocks.map((block, i) => {
    const product = clone(NodeProtoSchema, node);
    product.name = `${output}#${i}`;
    product.input = [value, block.name];
    product.output = [product.name];
    return product;
  });
  const hasBias = bias !== undefined && bias !== '';
  const joined = hasBias ? `${output}#joined` : output;
  const concat = create(NodeProtoSchema, {
    name: `${output}#concat`,
    opType: 'Concat',
    input: products.map(({ name }) => name),
    output: [joined],
    attribute: [create(AttributeProtoSchema, { name: 'axis', type: INT, i: -1n })],
  });
  if (!hasBias) return [...products, concat];
  const add = create(NodeProtoSchema, {
    name: `${output}#add`,
    opType: 'Add',
    input: [joined, bias],
    output: [output],
  });
  return [...products, concat, add];
}

const INT = 2;
