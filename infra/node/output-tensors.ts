/** From what onnxruntime gives to the protocol's outputs: those asked for, as JSON or as binary data. */
import { bytesOf } from '../../schema/binary-tensors.ts';
import { SppError } from '../../schema/errors.ts';
import type { Port } from '../../schema/manifest.ts';
import type { Datatype, InferRequest } from '../../schema/protocol.ts';
import { elementTypes, type JsonElement } from './element-types.ts';
import { portNames, quote, type RawTensor } from './tensors.ts';

export interface WantedOutput {
  readonly name: string;
  /** Its elements follow the response's JSON object, else they stand in it. */
  readonly binary: boolean;
}

/** An output in the response's JSON object. */
export interface ResponseOutput {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: number[];
  readonly parameters?: Record<string, number>;
  /** Absent where the elements are binary. */
  readonly data?: (JsonElement | null)[];
}

/**
 * The outputs to compute: those the request asks for, in its order, else all. The request's parameter
 * `binary_data_output` makes them binary, an output's own `binary_data` decides for that output.
 * @throws `bad-request` for an output that is unknown, doubled or asked for in a form that is not served, or a parameter of these that is
 *   not true or false
 */
export function selectOutputs(
  ports: readonly Port[],
  { outputs, parameters }: Pick<InferRequest, 'outputs' | 'parameters'>,
): WantedOutput[] {
  const allBinary = flag(parameters, 'binary_data_output', 'The request') ?? false;
  if (outputs === undefined || outputs.length === 0) return ports.map((port) => inForm(port, allBinary));
  const chosen = new Map<string, WantedOutput>();
  for (const { name, parameters: own } of outputs) {
    const title = `The output ${quote(name)}`;
    const port = ports.find((candidate) => candidate.name === name);
    if (port === undefined)
      throw new SppError('bad-request', `The model has no output ${quote(name)}.`, {
        hint: `Its outputs are ${portNames(ports)}.`,
      });
    if (chosen.has(name)) throw new SppError('bad-request', `${title} is asked for twice.`);
    if (own?.classification !== undefined)
      throw new SppError('bad-request', `${title} is asked for as a classification.`, {
        hint: 'This server gives outputs as tensors; leave the parameter classification out.',
      });
    if (own !== undefined && Object.keys(own).some((key) => key.startsWith('shared_memory_')))
      throw new SppError('bad-request', `${title} is asked for in shared memory.`, {
        hint: 'This server answers over HTTP only; leave the parameters of shared memory out.',
      });
    chosen.set(name, inForm(port, flag(own, 'binary_data', title) ?? allBinary));
  }
  return [...chosen.values()];
}

/** Before it is computed: what has no form to be sent in would be computed in vain. */
function inForm({ name, datatype }: Port, binary: boolean): WantedOutput {
  if (!binary && elementTypes[datatype] === null)
    throw new SppError('bad-request', `The output ${quote(name)} is ${datatype}, which JSON cannot carry.`, {
      hint: 'Ask for it with the parameter binary_data.',
    });
  return { name, binary };
}

/**
 * Outputs as the response has them, flattened, and the bytes that follow its JSON object. As JSON, a float that is NaN
 * or infinite has no form: it becomes null, and the tensor's parameter `non_finite` counts how often.
 * @param outputs in the order of `wanted`
 */
export function unpackOutputs(
  ports: readonly Port[],
  wanted: readonly WantedOutput[],
  outputs: readonly RawTensor[],
): { outputs: ResponseOutput[]; tails: Uint8Array[] } {
  const tails: Uint8Array[] = [];
  const unpacked = outputs.map((output, i): ResponseOutput => {
    const port = ports.find((candidate) => candidate.name === output.name);
    if (port === undefined)
      throw new SppError('bad-artifact', `The model has no output ${quote(output.name)}.`);
    if (wanted[i]?.binary !== true) return jsonOutput(port, output);
    const bytes = bytesOf(output.data);
    tails.push(bytes);
    const { name, datatype } = port;
    return { name, datatype, shape: [...output.dims], parameters: { binary_data_size: bytes.length } };
  });
  return { outputs: unpacked, tails };
}

function jsonOutput({ name, datatype }: Port, { dims, data }: RawTensor): ResponseOutput {
  const type = elementTypes[datatype];
  if (type === null) throw new Error(`the output ${name} was to be binary, as ${datatype} is`);
  let nonFinite = 0;
  const elements = Array.from<unknown, JsonElement | null>({ length: data.length }, (_, i) => {
    const value = type.toJson(data[i] ?? 0);
    if (value !== undefined) return value;
    nonFinite++;
    return null;
  });
  return {
    name,
    datatype,
    shape: [...dims],
    ...(nonFinite > 0 ? { parameters: { non_finite: nonFinite } } : {}),
    data: elements,
  };
}

function flag(
  parameters: Readonly<Record<string, unknown>> | undefined,
  name: string,
  owner: string,
): boolean | undefined {
  const value = parameters?.[name];
  if (value === undefined || typeof value === 'boolean') return value;
  throw new SppError('bad-request', `${owner} has the parameter ${name} ${JSON.stringify(value)}.`, {
    hint: 'It is true or false.',
  });
}
