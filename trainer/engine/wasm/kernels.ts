/**
 * Kernels put in the place of tfjs-backend-wasm's own, where those are slow: batched and transposing matrix products (2 GF as
 * shipped), transposes of more than four axes, scalar exp, erf and tanh, and Identity, which copies. They work in the backend's
 * own memory.
 */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../../schema/errors.ts';
import { instantiateNumeric, type NumericFunctions } from './numeric-code.ts';
import type { WasmMemory } from './runtime.ts';

/** The part of tfjs's wasm backend that its kernels use too. */
interface WasmBackend {
  readonly wasm: { readonly asm?: { readonly memory?: WasmMemory } };
  readonly dataIdMap: { get(dataId: tf.DataId): { readonly memoryOffset: number } };
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  disposeData(dataId: tf.DataId): boolean;
  incRef(dataId: tf.DataId): void;
}

type Inputs = Readonly<Record<string, tf.TensorInfo>>;
type Kernel = (
  inputs: Inputs,
  attributes: Readonly<Record<string, unknown>>,
  backend: WasmBackend,
) => tf.TensorInfo;

const FLOAT_BYTES = 4;

function batchMatMul(numeric: NumericFunctions): Kernel {
  return (inputs, { transposeA, transposeB }, backend) => {
    const { a, b } = inputs as { a: tf.TensorInfo; b: tf.TensorInfo };
    const at = (tensor: tf.TensorInfo) => backend.dataIdMap.get(tensor.dataId).memoryOffset;
    const [aRows, aColumns] = a.shape.slice(-2) as [number, number];
    const [bRows, bColumns] = b.shape.slice(-2) as [number, number];
    const [n, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
    const [kb, m] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
    if (k !== kb)
      throw new SppError(
        'bad-shape',
        `Matrices [${a.shape}] and [${b.shape}] do not fit (transposed: ${transposeA}, ${transposeB}).`,
      );
    const batch = tf.backend_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
    const out = backend.makeOutput([...batch, n, m], 'float32');
    // A product along rows reads B's rows, so a transposed B is turned first, one matrix at a time.
    const turned = transposeB ? backend.makeOutput([k, m], 'float32') : undefined;
    const [aStart, bStart, outStart] = [at(a), at(b), at(out)];
    const aOffsets = matrixOffsets(a.shape, batch);
    const bOffsets = matrixOffsets(b.shape, batch);
    const [aRow, aColumn] = transposeA ? [FLOAT_BYTES, n * FLOAT_BYTES] : [k * FLOAT_BYTES, FLOAT_BYTES];
    let last = -1;
    for (let index = 0; index < aOffsets.length; index++) {
      let right = bStart + (bOffsets[index] as number);
      if (turned) {
        if (right !== last) numeric.copy(right, at(turned), k, m, FLOAT_BYTES, k * FLOAT_BYTES);
        last = right;
        right = at(turned);
      }
      const left = aStart + (aOffsets[index] as number);
      numeric.matmul(
        left,
        right,
        outStart + index * n * m * FLOAT_BYTES,
        n,
        k,
        m,
        aRow,
        aColumn,
        m * FLOAT_BYTES,
      );
    }
    if (turned) backend.disposeData(turned.dataId);
    return out;
  };
}

/** Byte offset of the matrix that each entry of the broadcast batch reads. */
function matrixOffsets(shape: readonly number[], batch: readonly number[]): number[] {
  const own = shape.slice(0, -2);
  const matrix = (shape.at(-2) as number) * (shape.at(-1) as number) * FLOAT_BYTES;
  const missing = batch.length - own.length;
  let offsets = [0];
  let stride = matrix;
  for (let axis = batch.length - 1; axis >= 0; axis--) {
    const dim = own[axis - missing] ?? 1;
    const step = dim === 1 ? 0 : stride;
    const inner = offsets;
    offsets = Array.from({ length: batch[axis] as number }, (_, i) =>
      inner.map((offset) => offset + i * step),
    ).flat();
    stride *= dim;
  }
  return offsets;
}

function transpose(numeric: NumericFunctions): Kernel {
  return (inputs, { perm }, backend) => {
    const { x } = inputs as { x: tf.TensorInfo };
    const order = perm as number[];
    const strides = new Array<number>(x.shape.length).fill(FLOAT_BYTES);
    for (let axis = x.shape.length - 2; axis >= 0; axis--)
      strides[axis] = (strides[axis + 1] as number) * (x.shape[axis + 1] as number);
    const shape = order.map((axis) => x.shape[axis] as number);
    const view = order.map((axis) => strides[axis] as number);
    const out = backend.makeOutput(shape, x.dtype);
    const from = backend.dataIdMap.get(x.dataId).memoryOffset;
    const to = backend.dataIdMap.get(out.dataId).memoryOffset;
    // The two innermost axes are one call; the axes around them are walked here.
    const padded = [1, 1, ...shape];
    const steps = [0, 0, ...view];
    const [rows, columns] = padded.slice(-2) as [number, number];
    const [rowStride, columnStride] = steps.slice(-2) as [number, number];
    const outer = padded.slice(0, -2);
    const count = outer.reduce((product, dim) => product * dim, 1);
    const index = outer.map(() => 0);
    let source = from;
    for (let block = 0; block < count; block++) {
      numeric.copy(source, to + block * rows * columns * FLOAT_BYTES, rows, columns, rowStride, columnStride);
      for (let axis = outer.length - 1; axis >= 0; axis--) {
        source += steps[axis] as number;
        if (++(index[axis] as number) < (outer[axis] as number)) break;
        source -= (steps[axis] as number) * (outer[axis] as number);
        index[axis] = 0;
      }
    }
    return out;
  };
}

/** Shares the data instead of copying it; tensors never change. */
const identity: Kernel = (inputs, _attributes, backend) => {
  const { x } = inputs as { x: tf.TensorInfo };
  backend.incRef(x.dataId);
  return { dataId: x.dataId, shape: x.shape, dtype: x.dtype };
};

function unary(run: (from: number, to: number, count: number) => void): Kernel {
  return (inputs, _attributes, backend) => {
    const { x } = inputs as { x: tf.TensorInfo };
    const out = backend.makeOutput(x.shape, 'float32');
    const at = (tensor: tf.TensorInfo) => backend.dataIdMap.get(tensor.dataId).memoryOffset;
    run(at(x), at(out), tf.util.sizeFromShape(x.shape));
    return out;
  };
}

/** Puts the kernels in place for the wasm backend that runs; call after it is set. */
export function installWasmKernels(): void {
  const backend = tf.backend() as unknown as WasmBackend;
  const memory = backend.wasm.asm?.memory;
  if (!memory) throw new SppError('backend-unavailable', 'The wasm backend does not show its memory.');
  const numeric = instantiateNumeric(memory);
  const matrixProduct = batchMatMul(numeric);
  const turn = transpose(numeric);
  replace(
    tf.BatchMatMul,
    matrixProduct,
    (inputs) => inputs.a?.dtype === 'float32' && inputs.b?.dtype === 'float32',
  );
  // Booleans take a byte, all other types of this backend four.
  replace(tf.Transpose, turn, (inputs) => inputs.x?.dtype === 'float32' || inputs.x?.dtype === 'int32');
  replace(tf.Identity, identity, () => true);
  const isFloat = (inputs: Inputs) => inputs.x?.dtype === 'float32';
  replace(tf.Exp, unary(numeric.exp), isFloat);
  replace(tf.Erf, unary(numeric.erf), isFloat);
  replace(tf.Tanh, unary(numeric.tanh), isFloat);
}

/** Registers a kernel for what it takes; the rest goes where it went before. */
function replace(kernelName: string, kernel: Kernel, takes: (inputs: Inputs) => boolean): void {
  const shipped = tf.getKernel(kernelName, 'wasm');
  tf.unregisterKernel(kernelName, 'wasm');
  tf.registerKernel({
    ...shipped,
    kernelFunc: (call) => {
      const inputs = call.inputs as Inputs;
      if (!takes(inputs)) return shipped.kernelFunc(call);
      return kernel(inputs, (call.attrs ?? {}) as Record<string, unknown>, call.backend as WasmBackend);
    },
  });
}
