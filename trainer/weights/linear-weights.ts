/** A pair's matrices read out of the graph's initializers as [other, units...] in float64, and written back. */
import { SppError } from '../../schema/errors.ts';
import { inPlaceOf } from '../graph/deferred.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { readKept } from '../graph/kept-tensors.ts';
import type { LinearMap, UnitAxisOf } from '../pairs/pair.ts';

/** Row-major [rows, cols]: rows are the axis that is not the units', cols the unit axis `outer * units * inner`. */
export interface UnitMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

/** Initializers by name, being replaced one after the other. */
export type Weights = Map<string, Tensor>;

/** A graph's initializers to be replaced one by one; the graph keeps its own. */
export function weightsOf(graph: Graph): Weights {
  return new Map(graph.initializers);
}

/**
 * @returns the map's matrix with its unit axis last, however it is stored
 * @throws `bad-model` when it is missing, not float32, or has more than the two axes
 */
export function readMatrix(weights: Weights, map: LinearMap): UnitMatrix {
  const tensor = floatTensor(weights, map.weight.tensor);
  const { rows, cols, rowStride, colStride } = matrixLayout(tensor, map);
  const data = new Float64Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) data[r * cols + c] = tensor.data[r * rowStride + c * colStride] ?? 0;
  }
  return { rows, cols, data };
}

/** Puts a matrix back in the layout of the one that it replaces, rounded to float32. @throws as `readMatrix` */
export function writeMatrix(weights: Weights, map: LinearMap, matrix: UnitMatrix): void {
  const old = weights.get(map.weight.tensor);
  const tensor = floatTensor(weights, map.weight.tensor);
  const { rows, cols, rowStride, colStride } = matrixLayout(tensor, map);
  const data = new Float32Array(tensor.data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) data[r * rowStride + c * colStride] = matrix.data[r * cols + c] ?? 0;
  }
  // A path has as many of these as levels: those of a large model go to a file.
  weights.set(map.weight.tensor, inPlaceOf(old ?? tensor, { ...tensor, data }, readKept));
}

/** A bias as float64; undefined where the graph has none. */
export function readBias(weights: Weights, bias: UnitAxisOf | undefined): Float64Array | undefined {
  return bias === undefined ? undefined : Float64Array.from(floatTensor(weights, bias.tensor).data);
}

/** Puts a bias back, rounded to float32, in the shape of the one that it replaces. */
export function writeBias(weights: Weights, bias: UnitAxisOf, values: Float64Array): void {
  weights.set(bias.tensor, { ...floatTensor(weights, bias.tensor), data: Float32Array.from(values) });
}

/** @throws `bad-model` when there is no float32 initializer of this name */
export function floatTensor(
  weights: ReadonlyMap<string, Tensor>,
  name: string,
): Tensor & { data: Float32Array } {
  const tensor = weights.get(name);
  if (tensor === undefined || !(tensor.data instanceof Float32Array)) {
    throw new SppError('bad-model', `The initializer ${name} is missing or not float32.`);
  }
  return { ...tensor, data: tensor.data };
}

function matrixLayout(tensor: Tensor, map: LinearMap) {
  const strides = tensor.dims.map((_, axis) => tensor.dims.slice(axis + 1).reduce((a, b) => a * b, 1));
  const rows = tensor.dims[map.otherAxis] ?? 0;
  const cols = tensor.dims[map.weight.axis] ?? 0;
  if (rows * cols !== tensor.data.length) {
    throw new SppError(
      'bad-model',
      `The weight ${map.weight.tensor} [${tensor.dims.join(', ')}] is not a matrix.`,
    );
  }
  return { rows, cols, rowStride: strides[map.otherAxis] ?? 0, colStride: strides[map.weight.axis] ?? 0 };
}
