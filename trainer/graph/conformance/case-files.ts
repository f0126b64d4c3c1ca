/** ONNX's backend test cases as files: a model, and for it inputs and the outputs they must give. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { type ModelProto, ModelProtoSchema, type TensorProto, TensorProtoSchema } from 'onnx-buf';

export interface ConformanceCase {
  readonly name: string;
  /** Version of the package that holds the case. */
  readonly release: string;
  readonly bytes: Uint8Array;
  readonly model: ModelProto;
  /** In the order of the graph's; absent where the values are no plain tensors. */
  readonly data?: { readonly inputs: readonly TensorProto[]; readonly outputs: readonly TensorProto[] };
}

/** Releases whose cases lie in a folder, as `onnx-cases.py` writes them; none when it is not there. */
export function caseReleases(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries
    .flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/** All cases of a release, in ONNX's layout: NAME/model.onnx, NAME/test_data_set_0/{input,output}_N.pb. */
export function readCases(folder: string, release: string): ConformanceCase[] {
  const cases = join(folder, release);
  return readdirSync(cases)
    .filter((name) => existsSync(join(cases, name, 'model.onnx')))
    .sort()
    .map((name) => readCase(cases, release, name));
}

function readCase(folder: string, release: string, name: string): ConformanceCase {
  const bytes = readFileSync(join(folder, name, 'model.onnx'));
  const model = fromBinary(ModelProtoSchema, bytes);
  const side = (kind: string, count: number) =>
    Array.from({ length: count }, (_, i) => join(folder, name, 'test_data_set_0', `${kind}_${i}.pb`));
  const inputs = side('input', model.graph?.input.length ?? 0);
  const outputs = side('output', model.graph?.output.length ?? 0);
  if (![...inputs, ...outputs].every((path) => existsSync(path))) return { name, release, bytes, model };
  const read = (path: string) => fromBinary(TensorProtoSchema, readFileSync(path));
  return { name, release, bytes, model, data: { inputs: inputs.map(read), outputs: outputs.map(read) } };
}
