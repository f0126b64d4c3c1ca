/** One of ONNX's cases through the interpreter, held to its outputs with the tolerances that ONNX's own runner uses. */
import * as tf from '@tensorflow/tfjs-core';
import { type TensorProto, TensorProto_DataType as Type } from 'onnx-buf';
import type { Tensor } from '../graph.ts';
import { createInterpreter } from '../interpret.ts';
import { readOnnx } from '../onnx-file.ts';
import { readTensor } from '../onnx-tensor.ts';
import { toTensor } from '../value.ts';
import type { ConformanceCase } from './case-files.ts';

/** Of onnx/backend/test/case/node/__init__.py. */
const RELATIVE = 1e-3;
const ABSOLUTE = 1e-7;
/** What float32 sums lose near zero, against references that numpy computed in double precision. */
const ROUNDING = 1e-6;
/** Half precision is widened here: expected values that were rounded to it, at each step, lie a few of its roundings off. */
const HALF_ROUNDING: Readonly<Record<number, number>> = {
  [Type.FLOAT16]: 2 ** -9,
  [Type.BFLOAT16]: 2 ** -6,
};

/** @returns what is wrong with the interpreter's outputs, or undefined */
export function runCase({ name, bytes, data }: ConformanceCase): string | undefined {
  if (data === undefined) return 'has no data';
  try {
    const graph = readOnnx(bytes, name);
    const interpreter = createInterpreter(graph);
    const feeds = Object.fromEntries(
      graph.inputs.map((info, i) => [info.name, readTensor(data.inputs[i] as TensorProto, info.name)]),
    );
    try {
      let actual: Tensor[] = [];
      tf.tidy(() => {
        actual = interpreter.run(feeds).map(toTensor);
      });
      return data.outputs
        .map((proto, i) => {
          const rounding = HALF_ROUNDING[proto.dataType] ?? ROUNDING;
          return difference(actual[i], readTensor(proto, proto.name), rounding);
        })
        .find((found) => found !== undefined);
    } finally {
      interpreter.dispose();
    }
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * @param rounding allowed of floats, relative to the largest expected one
 * @returns the first difference in kind, shape or value, or undefined
 */
export function difference(
  actual: Tensor | undefined,
  expected: Tensor,
  rounding = ROUNDING,
): string | undefined {
  if (actual === undefined) return 'is missing';
  if (kindOf(actual) !== kindOf(expected)) return `is ${actual.dtype}, not ${expected.dtype}`;
  if (String(actual.dims) !== String(expected.dims))
    return `has shape [${actual.dims}], not [${expected.dims}]`;
  const values = Array.from(expected.data as Float64Array, Number);
  const scale = values.reduce(
    (largest, x) => (Number.isFinite(x) ? Math.max(largest, Math.abs(x)) : largest),
    0,
  );
  for (const [i, e] of values.entries()) {
    const a = Number(actual.data[i]);
    const exact = kindOf(expected) !== 'float';
    const allowed = exact ? 0 : ABSOLUTE + RELATIVE * Math.abs(e) + rounding * scale;
    if (Object.is(a, e) || a === e || Math.abs(a - e) <= allowed) continue;
    return `is ${a}, not ${e}, at ${i}`;
  }
  return undefined;
}

/** Double precision is computed in float32, int32 as int64. */
function kindOf({ dtype }: Tensor): string {
  if (dtype === 'bool') return 'bool';
  return dtype.startsWith('float') ? 'float' : 'integer';
}
