/** Rotates every pair that allows it into its whitened singular basis; the graph stays the same function. */
import { Matrix } from 'ml-matrix';
import { SppError } from '../../schema/errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { LinearMap, Pair } from '../pairs/pair.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import {
  readBias,
  readMatrix,
  type Weights,
  weightsOf,
  writeBias,
  writeMatrix,
} from '../weights/linear-weights.ts';
import { LEAST_LIFT, queryKeyBasis, valueBasis } from './basis.ts';

export interface Rotated {
  readonly graph: Graph;
  /** Moments as they are after the rotation, by activation. */
  readonly moments: ReadonlyMap<string, Moments>;
}

/** The activations whose moments a rotation reads: of query-key pairs what producers make, of value-projection what is projected. */
export function rotationTensors(pairs: readonly Pair[]): string[] {
  return pairs.flatMap(({ rotation, kind, producers, consumers }) => {
    if (rotation === undefined) return [];
    return kind === 'query-key' ? producers.map(({ output }) => output) : consumers.map(({ input }) => input);
  });
}

/**
 * @param moments of every activation that `rotationTensors` names
 * @param lift of the second moments, a share of their mean diagonal
 */
export function rotatePairs(
  graph: Graph,
  pairs: readonly Pair[],
  moments: ReadonlyMap<string, Moments>,
  lift = LEAST_LIFT,
): Rotated {
  const weights = weightsOf(graph);
  const turned = new Map(moments);
  for (const pair of pairs) {
    if (pair.rotation === undefined) continue;
    if (pair.kind === 'query-key') rotateQueryKey(pair, weights, turned, lift);
    else if (pair.kind === 'value-projection') rotateValueProjection(pair, weights, turned, lift);
  }
  return { graph: { ...graph, initializers: weights }, moments: turned };
}

function rotateQueryKey(pair: Pair, weights: Weights, moments: Map<string, Moments>, lift: number): void {
  const [query, key] = pair.producers;
  if (query === undefined || key === undefined) throw shapeError(pair);
  const { groups, share } = headGroups(pair, query, key);
  const queryTurns: Matrix[] = [];
  const keyTurns: Matrix[] = [];
  for (let group = 0; group < groups; group++) {
    const heads = Array.from({ length: share }, (_, i) => group * share + i);
    // Query heads that share a key head must share its basis: their scores add up in one least-squares problem.
    const queryGram = heads
      .map((head) => headGram(moments, query.output, head, pair.units))
      .reduce((a, b) => Matrix.add(a, b));
    const basis = queryKeyBasis(queryGram, headGram(moments, key.output, group, pair.units), lift);
    for (const _ of heads) queryTurns.push(basis.query);
    keyTurns.push(basis.key);
  }
  turnProducer(weights, query, queryTurns, pair.units);
  turnProducer(weights, key, keyTurns, pair.units);
  turnMoments(moments, query.output, queryTurns, pair.units);
  turnMoments(moments, key.output, keyTurns, pair.units);
}

function rotateValueProjection(
  pair: Pair,
  weights: Weights,
  moments: Map<string, Moments>,
  lift: number,
): void {
  const [value] = pair.producers;
  const [projection] = pair.consumers;
  if (value === undefined || projection === undefined || pair.consumers.length !== 1) throw shapeError(pair);
  const { groups, share } = headGroups(pair, projection, value);
  const rows = readMatrix(weights, projection); // [dModel, heads * units]
  const valueTurns: Matrix[] = [];
  const projectionTurns: Matrix[] = [];
  for (let group = 0; group < groups; group++) {
    const heads = Array.from({ length: share }, (_, i) => group * share + i);
    const gram = heads
      .map((head) => headGram(moments, projection.input, head, pair.units))
      .reduce((a, b) => Matrix.add(a, b));
    const stacked = Matrix.zeros(pair.units, rows.rows * share);
    for (const [i, head] of heads.entries()) {
      for (let u = 0; u < pair.units; u++) {
        for (let d = 0; d < rows.rows; d++) {
          stacked.set(u, i * rows.rows + d, rows.data[d * rows.cols + head * pair.units + u] ?? 0);
        }
      }
    }
    const basis = valueBasis(gram, stacked, lift);
    valueTurns.push(basis.value);
    for (const _ of heads) projectionTurns.push(basis.projection);
  }
  turnProducer(weights, value, valueTurns, pair.units);
  const turned = turnColumns(
    rows,
    projectionTurns.map((turn) => turn.transpose()),
    pair.units,
  );
  writeMatrix(weights, projection, { ...rows, data: turned });
  const contextTurns = projectionTurns.map(
    (_, head) => valueTurns[Math.floor(head / share)] ?? Matrix.eye(pair.units),
  );
  turnMoments(moments, projection.input, contextTurns, pair.units);
}

/** `many` has one block a query head, `few` one a key/value head. */
function headGroups(pair: Pair, many: LinearMap, few: LinearMap): { groups: number; share: number } {
  const share = many.weight.outer / few.weight.outer;
  if (!Number.isInteger(share) || many.weight.inner !== 1 || few.weight.inner !== 1) throw shapeError(pair);
  return { groups: few.weight.outer, share };
}

/** x <- x T, head by head, for the weight's columns and the bias. */
function turnProducer(weights: Weights, map: LinearMap, turns: readonly Matrix[], units: number): void {
  const matrix = readMatrix(weights, map);
  writeMatrix(weights, map, { ...matrix, data: turnColumns(matrix, turns, units) });
  const bias = readBias(weights, map.bias);
  if (bias !== undefined && map.bias !== undefined) {
    writeBias(weights, map.bias, turnColumns({ rows: 1, cols: bias.length, data: bias }, turns, units));
  }
}

/** Multiplies each head's block of columns from the right. */
function turnColumns(
  matrix: { rows: number; cols: number; data: Float64Array },
  turns: readonly Matrix[],
  units: number,
): Float64Array {
  const out = new Float64Array(matrix.data.length);
  for (const [head, turn] of turns.entries()) {
    for (let r = 0; r < matrix.rows; r++) {
      const row = r * matrix.cols + head * units;
      for (let j = 0; j < units; j++) {
        let sum = 0;
        for (let i = 0; i < units; i++) sum += (matrix.data[row + i] ?? 0) * turn.get(i, j);
        out[row + j] = sum;
      }
    }
  }
  return out;
}

/** G <- T^T G T and s <- s T with T block-diagonal over heads. */
function turnMoments(
  moments: Map<string, Moments>,
  tensor: string,
  turns: readonly Matrix[],
  units: number,
): void {
  const before = momentsOf(moments, tensor);
  const size = before.size;
  const half = turnColumns({ rows: size, cols: size, data: before.gram }, turns, units);
  const full = turnColumns({ rows: size, cols: size, data: transposed(half, size) }, turns, units);
  const sum = turnColumns({ rows: 1, cols: size, data: before.sum }, turns, units);
  moments.set(tensor, { ...before, sum, gram: full });
}

function transposed(data: Float64Array, size: number): Float64Array {
  const out = new Float64Array(data.length);
  for (let r = 0; r < size; r++) for (let c = 0; c < size; c++) out[c * size + r] = data[r * size + c] ?? 0;
  return out;
}

/** One head's block of the second moment, per row. */
function headGram(
  moments: ReadonlyMap<string, Moments>,
  tensor: string,
  head: number,
  units: number,
): Matrix {
  const { size, count, gram } = momentsOf(moments, tensor);
  const block = Matrix.zeros(units, units);
  for (let i = 0; i < units; i++) {
    for (let j = 0; j < units; j++) {
      block.set(i, j, (gram[(head * units + i) * size + head * units + j] ?? 0) / Math.max(1, count));
    }
  }
  return block;
}

function momentsOf(moments: ReadonlyMap<string, Moments>, tensor: string): Moments {
  const found = moments.get(tensor);
  if (found === undefined) throw new SppError('internal', `The moments of ${tensor} were not measured.`);
  return found;
}

function shapeError(pair: Pair): SppError {
  return new SppError(
    'internal',
    `${pair.name} is marked for rotation but its linears are not laid out head by head.`,
  );
}
