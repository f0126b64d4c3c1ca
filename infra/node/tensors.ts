/**
 * From the protocol's tensors, JSON or binary, to what onnxruntime takes: every input is held to the model's declared
 * ports before a worker sees it, so that a wrong request is an answer of its own and never a failure of the model.
 */
import { elementsOf, type TensorArray } from '../../schema/binary-tensors.ts';
import { SppError } from '../../schema/errors.ts';
import type { Port } from '../../schema/manifest.ts';
import { datatypes, type InferTensor } from '../../schema/protocol.ts';
import { elementTypes, ortNames } from './element-types.ts';

/** A tensor on its way to or from a worker. `type` is onnxruntime's name. */
export interface RawTensor {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly number[];
  /** Row-major; `bool` is bytes of 0 and 1, `float16` its bits. */
  readonly data: TensorArray;
}

/** An input as it came: its elements in `data`, or as the `bytes` that followed the JSON object. */
export type GivenTensor = InferTensor & { readonly bytes?: Uint8Array<ArrayBuffer> | undefined };

export interface PackedInputs {
  readonly feeds: readonly RawTensor[];
  /** The leading dimension that the request chose, the largest where they differ; 1 where no input has a free one. */
  readonly batch: number;
}

/**
 * @param uneven whether leading dimensions may differ, as those of a model may that compares every image with every text
 * @throws `bad-request` for a missing, unknown or doubled input, `bad-shape` and `bad-datatype` naming the tensor
 */
export function packInputs(
  ports: readonly Port[],
  inputs: readonly GivenTensor[],
  uneven = false,
): PackedInputs {
  const byName = new Map<string, GivenTensor>();
  for (const input of inputs) {
    if (!ports.some((port) => port.name === input.name))
      throw new SppError('bad-request', `The model has no input ${quote(input.name)}.`, {
        hint: `Its inputs are ${portNames(ports)}.`,
      });
    if (byName.has(input.name))
      throw new SppError('bad-request', `The input ${quote(input.name)} is given twice.`);
    byName.set(input.name, input);
  }
  const feeds = ports.map((port) => {
    const input = byName.get(port.name);
    if (input === undefined)
      throw new SppError('bad-request', `The input ${quote(port.name)} is missing.`, {
        hint: `The model's inputs are ${portNames(ports)}.`,
      });
    return packTensor(port, input);
  });
  return { feeds, batch: uneven ? largestBatch(ports, feeds) : commonBatch(ports, feeds) };
}

/** Of inputs whose size requests choose. */
export interface InputSize {
  /** The second dimension, where it and the leading one are free. */
  readonly length: number;
  /** Every other free dimension, but for the leading one. */
  readonly side: number;
}

export const LEAST: InputSize = { length: 1, side: 1 };

/**
 * Inputs of zeros for every port, what levels are measured with.
 * @param rows the leading dimension where it is free
 */
export function zeroInputs(ports: readonly Port[], rows = 1, size = LEAST): PackedInputs {
  const feeds = ports.map((port) => {
    const dims = sizedShape(port, rows, size);
    const bytes = new Uint8Array(elementCount(dims) * (datatypes[port.datatype] ?? 0));
    return packTensor(port, { name: port.name, datatype: port.datatype, shape: dims, bytes });
  });
  return { feeds, batch: commonBatch(ports, feeds) };
}

/** A port's shape with its free dimensions chosen. */
export function sizedShape({ shape }: Port, rows: number, { length, side }: InputSize): number[] {
  const second = shape[0] === -1 ? length : side;
  return shape.map((dim, axis) => (dim !== -1 ? dim : axis === 0 ? rows : axis === 1 ? second : side));
}

function packTensor(port: Port, input: GivenTensor): RawTensor {
  if (input.datatype !== port.datatype)
    throw new SppError(
      'bad-datatype',
      `The input ${quote(port.name)} is ${input.datatype}; the model takes ${port.datatype}.`,
    );
  const type = ortNames[port.datatype];
  if (type === null)
    throw new SppError(
      'bad-datatype',
      `The input ${quote(port.name)} is ${port.datatype}, which this server does not take.`,
    );
  checkShape(port, input);
  const data =
    input.bytes === undefined
      ? packJson(port, input)
      : elementsOf(port.name, port.datatype, elementCount(input.shape), input.bytes);
  return { name: port.name, type, dims: input.shape, data };
}

function packJson(port: Port, { name, shape, data }: GivenTensor): TensorArray {
  const type = elementTypes[port.datatype];
  if (type === null)
    throw new SppError(
      'bad-datatype',
      `The input ${quote(port.name)} is ${port.datatype}, which JSON cannot carry.`,
      { hint: 'Send it as binary data.' },
    );
  if (data === undefined) throw new SppError('bad-request', `The input ${quote(port.name)} has no data.`);
  const elements = Array.isArray(data[0]) ? flatten(name, shape, data) : data;
  const wanted = elementCount(shape);
  if (elements.length !== wanted)
    throw new SppError(
      'bad-shape',
      `The input ${quote(port.name)} has ${elements.length} elements where its shape ${shapeText(shape)} asks for ${wanted}.`,
    );
  const packed = type.pack(elements);
  if ('fault' in packed)
    throw new SppError(
      'bad-datatype',
      `Element ${packed.fault} of the input ${quote(port.name)} is ${describe(elements[packed.fault])}; ${port.datatype} takes ${type.wanted}.`,
      // As binary data the whole range of 64-bit integers is taken.
      port.datatype.endsWith('64') ? { hint: 'Send it as binary data where that is too little.' } : {},
    );
  return packed.data;
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
function flatten(name: string, shape: readonly number[], data: readonly unknown[]): unknown[] {
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

function largestBatch(ports: readonly Port[], feeds: readonly RawTensor[]): number {
  return Math.max(1, ...feeds.map(({ dims }, i) => (ports[i]?.shape[0] === -1 ? (dims[0] ?? 1) : 1)));
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Ports as messages list them. */
export function portNames(ports: readonly Port[]): string {
  return ports.map((port) => `${port.name} (${port.datatype} ${shapeText(port.shape)})`).join(', ');
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** A name as messages show it: quoted, and cut where it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}...` : text);
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number' && !Number.isFinite(value)) return 'out of range';
  return typeof value === 'object' && value !== null ? 'an object' : JSON.stringify(value).slice(0, 64);
}
