/**
 * Whether requests can share runs, as tried before any does: two rows are run apart and together. A model that compares the rows
 * of a batch with each other (images with texts), or normalises over them, would let one request's answer depend on another's.
 */
import { bytesOf, elementsOf } from '../../../schema/binary-tensors.ts';
import type { Manifest, Port } from '../../../schema/manifest.ts';
import { datatypes } from '../../../schema/protocol.ts';
import { type InputSize, type PackedInputs, packInputs, type RawTensor, sizedShape } from '../tensors.ts';

/**
 * Of an output's largest value where it has fractions: sums over more rows come out in another order, with a GPU's few digits too. Rows
 * that meet differ by far more. Whole numbers are positions, counts or classes, and one that is next to another is another.
 */
const TOLERANCE = 1e-2;
/** 1, -0.5, 0.25, -2, 0.125 as half floats. */
const HALVES = [0x3c00, 0xb800, 0x3400, 0xc000, 0x3000];

/**
 * @param size of the rows, where it is free
 * @param run the model, on inputs of the ports
 * @returns why rows cannot be computed together; undefined where they can
 * @throws what `run` rejects with
 */
export async function meetingRows(
  { inputs }: Pick<Manifest, 'inputs'>,
  size: InputSize,
  run: (inputs: PackedInputs) => Promise<readonly RawTensor[]>,
): Promise<string | undefined> {
  const [first, second, together] = [
    await run(probe(inputs, size, [0])),
    await run(probe(inputs, size, [1])),
    await run(probe(inputs, size, [0, 1])),
  ];
  for (const [i, { name, type, dims, data }] of together.entries()) {
    const rows = [first[i], second[i]].map((row) => row ?? { dims: [], data: new Float32Array() });
    if (rows.some((row) => dims.join() !== [2, ...row.dims.slice(1)].join()))
      return `${name} is [${dims}] for two rows and [${rows[0]?.dims}] for one`;
    if (
      !agrees(
        rows.flatMap((row) => Array.from(elementsIn({ type, data: row.data }))),
        elementsIn({ type, data }),
        type.startsWith('float') ? TOLERANCE : 0,
      )
    )
      return `${name} has other values for two rows together than for each of them alone`;
  }
  return undefined;
}

/** Rows that differ; whole numbers are small, as tokens are, and masks let all count. */
function probe(ports: readonly Port[], size: InputSize, rows: readonly number[]): PackedInputs {
  return packInputs(
    ports,
    ports.map((port) => {
      const { name, datatype } = port;
      const dims = sizedShape(port, rows.length, size);
      const width = dims.slice(1).reduce((product, dim) => product * dim, 1);
      const count = rows.length * width;
      const elements = elementsOf(name, datatype, count, new Uint8Array(count * (datatypes[datatype] ?? 0)));
      for (const [i, row] of rows.entries())
        for (let at = 0; at < width; at++) {
          const small = /mask/.test(name) ? 1 : (row + at) % 2;
          const place = i * width + at;
          if (datatype === 'FP32' || datatype === 'FP64')
            elements[place] = Math.sin(1 + 1.7 * at + 0.9 * row);
          else if (datatype === 'FP16') elements[place] = HALVES[(at + 2 * row) % HALVES.length] ?? 0;
          else elements[place] = typeof elements[place] === 'bigint' ? BigInt(small) : small;
        }
      return { name, datatype, shape: dims, bytes: bytesOf(elements) };
    }),
  );
}

/** Half floats come as their bits. */
function elementsIn({ type, data }: Pick<RawTensor, 'type' | 'data'>): ArrayLike<number | bigint> {
  return type === 'float16' ? new Float16Array(Uint16Array.from(data, Number).buffer) : data;
}

function agrees(
  apart: readonly (number | bigint)[],
  together: ArrayLike<number | bigint>,
  tolerance: number,
): boolean {
  if (tolerance === 0) return apart.every((value, i) => value === together[i]);
  const scale = Math.max(1e-6, ...apart.map((value) => Math.abs(Number(value))).filter(Number.isFinite));
  return apart.every((value, i) => {
    const [alone, shared] = [Number(value), Number(together[i])];
    return Object.is(alone, shared) || Math.abs(alone - shared) <= tolerance * scale;
  });
}
