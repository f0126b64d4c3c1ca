import { existsSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
} from 'onnx-buf';
import { beforeAll, describe, expect, test } from 'vitest';
import { preparePairs } from '../pairs/prepare.ts';
import { createOrtSession, type OrtModel } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import { deferredTensor, derivedTensor, inPlaceOf, isDeferred, placeOf, tensorCache } from './deferred.ts';
import { gather } from './gather.ts';
import type { Graph, Tensor } from './graph.ts';
import { keptTensors, readKept } from './kept-tensors.ts';
import { transposeMatrix } from './linear.ts';
import { modelDigest } from './model-digest.ts';
import { readOnnx } from './onnx-file.ts';
import { readOnnxFile } from './onnx-load.ts';
import { discardModel, ortModel } from './ort-model.ts';
import { relativeError } from './relative-error.ts';

const DIGITS = 'examples/digits/digits.onnx';
const folder = mkdtempSync(join(tmpdir(), 'external-'));

/** The bundled model with its weights in a file beside it, as exporters save large ones. */
function externalCopy(name: string): string {
  const model = fromBinary(ModelProtoSchema, readFileSync(DIGITS));
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const tensor of model.graph?.initializer ?? []) {
    if (tensor.dataType !== TensorProto_DataType.FLOAT || tensor.rawData.length < 64) continue;
    const gap = (4096 - (end % 4096)) % 4096;
    parts.push(new Uint8Array(gap), tensor.rawData);
    const entry = (key: string, value: number | string) =>
      create(StringStringEntryProtoSchema, { key, value: String(value) });
    tensor.externalData = [
      entry('location', `${name}.weights`),
      entry('offset', end + gap),
      entry('length', tensor.rawData.length),
    ];
    end += gap + tensor.rawData.length;
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    tensor.rawData = new Uint8Array(0);
  }
  writeFileSync(join(folder, `${name}.weights`), Buffer.concat(parts));
  writeFileSync(join(folder, `${name}.onnx`), toBinary(ModelProtoSchema, model));
  return join(folder, `${name}.onnx`);
}

let inline: Graph;
let external: Graph;

beforeAll(() => {
  inline = readOnnx(readFileSync(DIGITS), 'digits.onnx');
  external = readOnnxFile(externalCopy('digits'));
});

async function outputs(model: OrtModel, graph: Graph): Promise<Record<string, Tensor>> {
  const session = await createOrtSession(model);
  return session.run(sampleInputs(graph, { batch: 2, length: 4 }, 1)).finally(() => session.close());
}

function expectEqual(actual: Record<string, Tensor>, expected: Record<string, Tensor>): void {
  for (const [name, { data }] of Object.entries(expected))
    expect(relativeError(actual[name]?.data ?? [], data).relative).toBeLessThanOrEqual(1e-6);
}

describe('a large model file with its weights inside', () => {
  test('keeps them: they are known by where they lie, and onnxruntime maps them from there', async () => {
    const own = readOnnxFile(DIGITS, 0);
    const large = [...own.initializers.values()].filter((tensor) => placeOf(tensor));
    expect(large.length).toBeGreaterThan(5);
    for (const [name, tensor] of inline.initializers) expect(own.initializers.get(name)).toEqual(tensor);
    const model = ortModel(own);
    expect(model.bytes.length).toBeLessThan(ortModel(inline).bytes.length / 2);
    expectEqual(await outputs(model, own), await outputs(ortModel(inline), inline));
  });
});

describe('a model with half floats in a file beside it', () => {
  /** Of the digits model, in bfloat16: the upper halves of its floats. */
  function halved(): string {
    const path = externalCopy('half');
    const model = fromBinary(ModelProtoSchema, readFileSync(path));
    const parts: Uint8Array[] = [];
    let end = 0;
    const weights = readFileSync(join(folder, 'half.weights'));
    for (const tensor of model.graph?.initializer ?? []) {
      if (tensor.dataLocation !== TensorProto_DataLocation.EXTERNAL) continue;
      const [, offset, length] = tensor.externalData;
      const from = Number(offset?.value);
      const floats = new Uint32Array(
        new Uint8Array(weights.subarray(from, from + Number(length?.value))).buffer,
      );
      const half = new Uint8Array(Uint16Array.from(floats, (bits) => bits >>> 16).buffer);
      tensor.dataType = TensorProto_DataType.BFLOAT16;
      if (offset) offset.value = String(end);
      if (length) length.value = String(half.length);
      parts.push(half);
      end += half.length;
    }
    writeFileSync(join(folder, 'half.weights'), Buffer.concat(parts));
    writeFileSync(path, toBinary(ModelProtoSchema, model));
    return path;
  }

  test('goes to onnxruntime by a file that holds them widened, once however many sessions there are', async () => {
    const half = readOnnxFile(halved());
    const held = new Map([...half.initializers].map(([name, tensor]) => [name, { ...tensor }]));
    const whole = { ...half, initializers: held };
    const [model, again] = [ortModel(half), ortModel(half)];
    expect(again.weightsFolder).toBe(model.weightsFolder);
    expect(model.bytes.length).toBeLessThan(ortModel(whole).bytes.length / 2);
    discardModel(model);
    expectEqual(await outputs(again, half), await outputs(ortModel(whole), whole));
  });
});

describe('a model with its weights in a file beside it', () => {
  test('holds the same, and knows where the large weights lie', () => {
    const large = [...external.initializers.values()].filter((tensor) => placeOf(tensor));
    expect(large.length).toBeGreaterThan(5);
    for (const [name, tensor] of inline.initializers) expect(external.initializers.get(name)).toEqual(tensor);
  });

  test('goes to onnxruntime without its weights, which answers the same', async () => {
    const model = ortModel(external);
    expect(model.weightsFolder).toBe(folder);
    expect(model.bytes.length).toBeLessThan(ortModel(inline).bytes.length / 2);
    expectEqual(await outputs(model, external), await outputs(ortModel(inline), inline));
  });

  test('weights that are changed go along with those that are not', async () => {
    const [name, tensor] = [...external.initializers].find(([, one]) => placeOf(one)) ?? [];
    if (name === undefined || tensor === undefined) throw new Error('nothing lies in the file');
    const doubled = { ...tensor, data: Float32Array.from(tensor.data as Float32Array, (x) => 2 * x) };
    const changed = (graph: Graph) => ({
      ...graph,
      initializers: new Map(graph.initializers).set(name, doubled),
    });
    expectEqual(
      await outputs(ortModel(changed(external)), external),
      await outputs(ortModel(changed(inline)), inline),
    );
  });

  test('matrices that were made of those in the file go by a file as well', async () => {
    const made = (tensor: Tensor) =>
      placeOf(tensor) && tensor.dims.length === 2 ? transposeMatrix(transposeMatrix(tensor)) : tensor;
    const changed = {
      ...external,
      initializers: new Map([...external.initializers].map(([name, tensor]) => [name, made(tensor)])),
    };
    const model = ortModel(changed);
    expect(model.weightsFolder).not.toBe(folder);
    expect(model.bytes.length).toBeLessThan(ortModel(inline).bytes.length / 2);
    expectEqual(await outputs(model, external), await outputs(ortModel(inline), inline));
  });

  test('more in memory than protobuf holds goes through a temporary file', async () => {
    const model = ortModel(inline, [], 1000);
    expect(model.bytes.length).toBeLessThan(100_000);
    expect(existsSync(join(model.weightsFolder ?? '', 'weights.bin'))).toBe(true);
    expectEqual(await outputs(model, inline), await outputs(ortModel(inline), inline));
  });

  test('has the same pairs', async () => {
    const [a, b] = [await preparePairs(external, 'external'), await preparePairs(inline, 'inline')];
    expect(a.pairs).toEqual(b.pairs);
    expect(a.params).toBe(b.params);
  });

  test('is another model when its data file has changed, though it is as large', async () => {
    const path = externalCopy('changed');
    const before = await modelDigest(path);
    expect(await modelDigest(path)).toBe(before);
    const weights = join(folder, 'changed.weights');
    const bytes = readFileSync(weights);
    bytes[20_000] = (bytes[20_000] ?? 0) ^ 1;
    writeFileSync(weights, bytes);
    expect(await modelDigest(path)).not.toBe(before);
  });

  test('is refused when the data file was cut short', () => {
    const path = externalCopy('short');
    truncateSync(join(folder, 'short.weights'), 5000);
    expect(() => readOnnxFile(path)).toThrow(/needs \d+ bytes of data but has/);
  });
});

describe('deferred tensors', () => {
  const made: string[] = [];
  const numbers = (name: string, count: number) => () => {
    made.push(name);
    return Float32Array.from({ length: count }, (_, i) => i);
  };

  test('are made when asked for, held within the budget, and made again behind it', () => {
    const cache = tensorCache(1000);
    const [a, b] = ['a', 'b'].map((name) => deferredTensor('float32', [150], numbers(name, 150), cache));
    expect(made).toEqual([]);
    for (const tensor of [a, a, b, a]) expect(tensor?.data.length).toBe(150);
    expect(made).toEqual(['a', 'b', 'a']);
  });

  test('pass it on to what is picked or turned from them, and not to copies', () => {
    const tensor = deferredTensor('float32', [2, 3], numbers('c', 6), tensorCache(1000));
    const rows = gather(tensor, 0, [1]);
    const turned = transposeMatrix(tensor);
    expect(made).not.toContain('c');
    expect([...rows.data]).toEqual([3, 4, 5]);
    expect([...turned.data]).toEqual([0, 3, 1, 4, 2, 5]);
    expect(turned.dims).toEqual([3, 2]);
    const copy = { ...tensor, data: Float32Array.of(9, 9, 9, 9, 9, 9) };
    expect([...derivedTensor(copy, [6], (data) => data).data]).toEqual([9, 9, 9, 9, 9, 9]);
  });
});

test('what takes the place of a deferred tensor lies in a file too, and is brought back as it was', () => {
  const dims = [256, 128];
  const data = Float32Array.from({ length: 256 * 128 }, (_, i) => Math.sin(i));
  const zeros = () => new Float32Array(data.length);
  const held: Tensor = { dtype: 'float32', dims, data };
  const old = deferredTensor('float32', dims, zeros, tensorCache(0), { keep: keptTensors() });
  const made = inPlaceOf(inPlaceOf(old, { ...held, data: zeros() }, readKept), held, readKept);
  expect(isDeferred(made)).toBe(true);
  expect(placeOf(made)?.bytes).toBe(data.byteLength);
  expect(made.data).toEqual(data);
  // Small ones, and those of models that are held, stay where they are.
  expect(inPlaceOf(held, held, readKept)).toBe(held);
  const small: Tensor = { dtype: 'float32', dims: [2], data: Float32Array.of(1, 2) };
  expect(inPlaceOf(old, small, readKept)).toBe(small);
});
