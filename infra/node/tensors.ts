/**
 * Between the protocol's JSON tensors and what onnxruntime takes and gives: every input is held to the model's declared
 * ports before a worker sees it, so that a wrong request is an answer of its own and never a failure of the model.
 */
import { SppError } from '../../schema/errors.ts';
import type { Port } from '../../schema/manifest.ts';
import type { InferRequest, InferResponse, InferTensor } from '../../schema/protocol.ts';
import { type ElementType, elementTypes, type TensorArray } from './element-types.ts';

/** A tensor on its way to or from a worker. `type` is onnxruntime's name. */
export interface RawTensor {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly number[];
  /** Row-major; `bool` is bytes of 0 and 1. */
  readonly data: TensorArray;
}

export interface PackedInputs {
  readonly feeds: readonly RawTensor[];
  /** The leading dimension that the request chose; 1 where no input has a free one. */
  readonly batch: number;
}

/**
 * @throws `bad-request` for a missing, unknown or doubled input, `bad-shape` and `bad-datatype` naming the tensor
 */
export function packInputs(ports: readonly Port[], inputs: InferRequest['inputs']): PackedInputs {
  const byName = new Map<string, InferTensor>();
  for (const input of inputs) {
    if (!ports.some((port) => port.name === input.name))
      throw new SppError('bad-request', `The model has no input ${quote(input.name)}.`, {
        hint: `Its inputs are ${names(ports)}.`,
      });
    if (byName.has(input.name))
      throw new SppError('bad-request', `The input ${quote(input.name)} is given twice.`);
    byName.set(input.name, input);
  }
  const feeds = ports.map((port) => {
    const input = byName.get(port.name);
    if (input === undefined)
      throw new SppError('bad-request', `The input ${quote(port.name)} is missing.`, {
        hint: `The model's inputs are ${names(ports)}.`,
      });
    return packTensor(port, input);
  });
  return { feeds, batch: commonBatch(ports, feeds) };
}

/**
 * Names of the outputs to compute: those the request asks for, in its order, else all.
 * @throws `bad-request` for an output that is unknown, doubled or asked for in binary form
 */
export function selectOutputs(ports: readonly Port[], requested: InferRequest['outputs']): string[] {
  if (requested === undefined || requested.length === 0) return ports.map((port) => port.name);
  const chosen = new Set<string>();
  for (const { name, parameters } of requested) {
    if (!ports.some((port) => port.name === name))
      throw new SppError('bad-request', `The model has no output ${quote(name)}.`, {
        hint: `Its outputs are ${names(ports)}.`,
      });
    if (chosen.has(name)) throw new SppError('bad-request', `The output ${quote(name)} is asked for twice.`);
    if (parameters?.binary_data === true)
      throw new SppError('bad-request', `The output ${quote(name)} is asked for as binary data.`, {
        hint: 'This server answers with JSON tensors; leave binary_data out.',
      });
    chosen.add(name);
  }
  return [...chosen];
}

/**
 * Output tensors as the response has them, flattened. A float that is NaN or infinite has no form in JSON: it becomes
 * null, and the tensor's parameter `non_finite` counts how often.
 * @throws `numerical-failure` for a 64-bit integer that a JSON number cannot hold exactly
 */
export function unpackOutputs(
  ports: readonly Port[],
  outputs: readonly RawTensor[],
): InferResponse['outputs'] {
  return outputs.map(({ name, dims, data }) => {
    const port = ports.find((candidate) => candidate.name === name);
    const type = port && elementTypes[port.datatype];
    if (!type)
      throw new SppError('bad-artifact', `The output ${quote(name)} has no datatype that JSON carries.`);
    let nonFinite = 0;
    const elements = Array.from<unknown, number | boolean | null>({ length: data.length }, (_, i) => {
      const value = type.toJson(data[i] ?? 0);
      if (value !== undefined) return value;
      if (typeof data[i] === 'bigint')
        throw new SppError(
          'numerical-failure',
          `${quote(name)} holds ${data[i]}, which no JSON number holds exactly.`,
        );
      nonFinite++;
      return null;
    });
    return {
      name,
      datatype: port.datatype,
      shape: [...dims],
      ...(nonFinite > 0 ? { parameters: { non_finite: nonFinite } } : {}),
      data: elements,
    };
  });
}

/** A batch-1 input of zeros for every port, each free dimension 1: what levels are measured with. */
export function zeroInputs(ports: readonly Port[]): PackedInputs {
  const feeds = ports.map((port) => {
    const dims = port.shape.map((dim) => Math.max(1, dim));
    const zero = port.datatype === 'BOOL' ? false : 0;
    const data = new Array<unknown>(elementCount(dims)).fill(zero);
    return packTensor(port, { name: port.name, datatype: port.datatype, shape: dims, data });
  });
  return { feeds, batch: 1 };
}

function packTensor(port: Port, input: InferTensor): RawTensor {
  const type = typeOf(port, input);
  checkShape(port, input);
  const nested = Array.isArray(input.data[0]);
  const elements = nested ? flatten(input) : input.data;
  const wanted = elementCount(input.shape);
  if (elements.length !== wanted)
    throw new SppError(
      'bad-shape',
      `The input ${quote(port.name)} has ${elements.length} elements where its shape ${shapeText(input.shape)} asks for ${wanted}.`,
    );
  const packed = type.pack(elements);
  if ('fault' in packed)
    throw new SppError(
      'bad-datatype',
      `Element ${packed.fault} of the input ${quote(port.name)} is ${describe(elements[packed.fault])}; ${port.datatype} takes ${type.wanted}.`,
    );
  return { name: port.name, type: type.ort, dims: input.shape, data: packed.data };
}

function typeOf(port: Port, input: InferTensor): ElementType {
  if (input.datatype !== port.datatype)
    throw new SppError(
      'bad-datatype',
      `The input ${quote(port.name)} is ${input.datatype}; the model takes ${port.datatype}.`,
    );
  const type = elementTypes[port.datatype];
  if (type === null)
    throw new SppError(
      'bad-datatype',
      `The input ${quote(port.name)} is ${port.datatype}, which JSON cannot carry.`,
    );
  return type;
}

function checkShape(port: Port, { shape }: InferTensor): void {
  const fits =
    shape.length === port.shape.length &&
    shape.every((dim, axis) => (port.shape[axis] === -1 ? dim > 0 : dim === port.shape[axis]));
  if (!fits)
    throw new SppError(
      'bad-shape',
      `The input ${quote(port.name)} has the shape ${shapeText(shape)}; the model takes ${shapeText(port.shape)}.`,
      { hint: 'A dimension of -1 is yours to choose, from 1 on; the others are fixed.' },
    );
}

/** Nested data must have the stated shape exactly; its depth is bounded by the shape, so recursion is too. */
function flatten({ name, shape, data }: InferTensor): unknown[] {
  const flat: unknown[] = [];
  const walk = (part: readonly unknown[], axis: number, at: string): void => {
    const wanted = shape[axis] ?? 0;
    if (part.length !== wanted)
      throw new SppError(
        'bad-shape',
        `${name}${at} has ${part.length} elements where its shape ${shapeText(shape)} asks for ${wanted}.`,
      );
    const innermost = axis === shape.length - 1;
    for (const [i, element] of part.entries()) {
      if (innermost) flat.push(element);
      else if (Array.isArray(element)) walk(element, axis + 1, `${at}[${i}]`);
      else
        throw new SppError(
          'bad-shape',
          `${name}${at}[${i}] is ${describe(element)} where its shape ${shapeText(shape)} asks for an array.`,
        );
    }
  };
  walk(data, 0, '');
  return flat;
}

function commonBatch(ports: readonly Port[], feeds: readonly RawTensor[]): number {
  const free = feeds.filter((_, i) => ports[i]?.shape[0] === -1);
  const first = free[0];
  const other = free.find((feed) => feed.dims[0] !== first?.dims[0]);
  if (first !== undefined && other !== undefined)
    throw new SppError(
      'bad-shape',
      `The inputs ${quote(first.name)} and ${quote(other.name)} have different batch sizes, ${first.dims[0]} and ${other.dims[0]}.`,
    );
  return first?.dims[0] ?? 1;
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

function names(ports: readonly Port[]): string {
  return ports.map((port) => `${port.name} (${port.datatype} ${shapeText(port.shape)})`).join(', ');
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}...` : text);
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number' && !Number.isFinite(value)) return 'out of range';
  return typeof value === 'object' && value !== null ? 'an object' : JSON.stringify(value).slice(0, 64);
}
