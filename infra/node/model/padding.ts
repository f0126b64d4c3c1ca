/**
 * Whether requests whose sequences differ in length can share a run. A model says so by an input that marks what counts
 * (`attention_mask`); that it keeps to it is seen by running the same sequences as they are and filled up, before any
 * request depends on it. A model that pools over all positions, or has no mask, lets equal lengths share runs only.
 */

import type { Manifest, Port } from '../../../schema/manifest.ts';
import { datatypes } from '../../../schema/protocol.ts';
import { sequencePorts } from '../../../schema/sequence-length.ts';
import type { PaddedAxes } from '../execution/batch-tensors.ts';
import { type PackedInputs, packInputs, type RawTensor } from '../tensors.ts';

/** How exporters of the usual libraries call the input that is 1 where a token counts. */
const MASK = 'attention_mask';
/** Of the largest output: float32 sums over longer rows with zeros between them come out in another order. */
const TOLERANCE = 1e-4;
/** Lengths that are tried, as they are and filled up to `FILLED`. */
const TRIED = [3, 5, 8];
const FILLED = 16;

/**
 * The length of a request's sequences; 0 where the model takes none, or they differ.
 * @param sequences names of the inputs that are sequences
 */
export function lengthOf(sequences: ReadonlySet<string>, feeds: readonly RawTensor[]): number {
  if (sequences.size === 0) return 0;
  const lengths = new Set(feeds.filter(({ name }) => sequences.has(name)).map(({ dims }) => dims[1] ?? 0));
  const [length] = lengths;
  return lengths.size === 1 && length !== undefined ? length : 0;
}

/**
 * The axes that may be filled up; undefined where it would change an answer.
 * @param run the model, on inputs of the ports; rejecting says that it does not compute them
 */
export async function paddedAxes(
  { inputs, outputs }: Manifest,
  run: (inputs: PackedInputs) => Promise<readonly RawTensor[]>,
): Promise<PaddedAxes | undefined> {
  const ports = sequencePorts(inputs);
  const mask = ports.find(({ name, datatype }) => name === MASK && /^(?:U?INT\d+|BOOL)$/.test(datatype));
  // Every sequence has to be filled up by the mask's length, and what is filled must be whole numbers, as tokens are.
  if (
    mask === undefined ||
    ports.some(({ shape, datatype }) => shape.length !== 2 || !/INT|BOOL/.test(datatype))
  )
    return undefined;
  if (inputs.some(({ shape }) => shape.slice(ports.length > 0 ? 2 : 1).includes(-1))) return undefined;
  const axes: PaddedAxes = {
    inputs: new Set(ports.map(({ name }) => name)),
    outputs: new Set(sequencePorts(outputs).map(({ name }) => name)),
  };
  for (const length of TRIED) {
    const [plain, filled] = [
      await run(probe(inputs, length, length)),
      await run(probe(inputs, length, FILLED)),
    ];
    if (!plain.every((output, i) => agrees(output, filled[i], axes.outputs.has(output.name), length)))
      return undefined;
  }
  return axes;
}

/** Sequences of small tokens up to `length`, then nothing, marked as such. */
function probe(inputs: readonly Port[], length: number, filled: number): PackedInputs {
  const sequences = new Set(sequencePorts(inputs));
  return packInputs(
    inputs,
    inputs.map((port) => {
      const shape = port.shape.map((dim, axis) => (dim !== -1 ? dim : axis === 0 ? 1 : filled));
      const count = shape.reduce((product, dim) => product * dim, 1);
      if (!sequences.has(port)) {
        const bytes = new Uint8Array(count * (datatypes[port.datatype] ?? 0));
        return { name: port.name, datatype: port.datatype, shape, bytes };
      }
      const value = (at: number) => (at >= length ? 0 : port.name === MASK ? 1 : probeToken(port.name, at));
      const data = Array.from({ length: count }, (_, i) =>
        port.datatype === 'BOOL' ? value(i) !== 0 : value(i),
      );
      return { name: port.name, datatype: port.datatype, shape, data };
    }),
  );
}

/** Tokens of two kinds, so that positions differ; of the other inputs (segments, positions) what every model has. */
function probeToken(name: string, at: number): number {
  if (/position/.test(name)) return at;
  return name === 'input_ids' ? 1 + (at % 2) : 0;
}

function agrees(plain: RawTensor, filled: RawTensor | undefined, padded: boolean, length: number): boolean {
  if (filled === undefined || (padded && (plain.dims[1] !== length || filled.dims[1] !== FILLED)))
    return false;
  if (!padded && plain.dims.join() !== filled.dims.join()) return false;
  let scale = 0;
  for (const value of plain.data) scale = Math.max(scale, Math.abs(Number(value)));
  // One row, so that what was filled up comes after all that was there.
  for (let i = 0; i < plain.data.length; i++) {
    const difference = Math.abs(Number(plain.data[i]) - Number(filled.data[i]));
    if (!(difference <= TOLERANCE * Math.max(scale, 1e-6))) return false;
  }
  return true;
}
