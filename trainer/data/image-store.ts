/** Decoded images: every one is decoded once when it is added, which shows the bad ones; kept while they fit, decoded again where they do not. */
import { readFile } from 'node:fs/promises';
import { SppError } from '../../schema/errors.ts';
import type { Tensor } from '../graph/graph.ts';
import type { DataSettings, ImageSize } from './data-settings.ts';
import { readImage } from './image-file.ts';
import { assertChannels, byteTable, type Normalisation } from './normalisation.ts';

/** Means and deviations of ImageNet, which most image models were trained with. */
const imageNormalisation: Readonly<Record<ImageSize['channels'], Normalisation>> = {
  1: { scale: 1 / 255, mean: [0.5], std: [0.5] },
  3: { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
};

const KEPT_BYTES = 2 ** 30;
/** Images decoded at once. */
export const AT_ONCE = 8;

export interface Decoding {
  readonly size: ImageSize;
  readonly crop: number;
  readonly normalisation: Normalisation;
}

/** How images are to be decoded. @throws `usage` when the size is not known, or mean and deviation have other channels */
export function decodingOf({ image: size, crop = 1, normalisation }: DataSettings, name: string): Decoding {
  if (size === undefined) {
    throw new SppError('usage', `${name}: the model does not say how large its images are.`, {
      hint: 'Say it with --size HEIGHTxWIDTH.',
    });
  }
  const its = normalisation ?? imageNormalisation[size.channels];
  assertChannels(its, size.channels);
  return { size, crop, normalisation: its };
}

export interface DecodedImage {
  readonly path: string;
  readonly pixels: Uint8Array;
  /** Of the file. */
  readonly bytes: Uint8Array;
}

export class ImageStore {
  readonly decoding: Decoding;
  private readonly images: { readonly path: string; readonly pixels?: Uint8Array }[] = [];
  private room = KEPT_BYTES;

  constructor(decoding: Decoding) {
    this.decoding = decoding;
  }

  /** @throws what reading and decoding throw */
  async decode(path: string): Promise<DecodedImage> {
    const { size, crop } = this.decoding;
    return { path, bytes: await readFile(path), pixels: await readImage(path, size, crop) };
  }

  add({ path, pixels }: DecodedImage): void {
    const fits = this.room >= pixels.length;
    if (fits) this.room -= pixels.length;
    this.images.push(fits ? { path, pixels } : { path });
  }

  get count(): number {
    return this.images.length;
  }

  /** float32 [indices.length, channels, height, width], normalised. */
  async read(indices: readonly number[]): Promise<Tensor> {
    const { size, crop, normalisation } = this.decoding;
    const { channels, height, width } = size;
    const area = height * width;
    const tables = Array.from({ length: channels }, (_, channel) => byteTable(normalisation, channel));
    const data = new Float32Array(indices.length * channels * area);
    for (let start = 0; start < indices.length; start += AT_ONCE) {
      const some = indices.slice(start, start + AT_ONCE).map((index) => this.images[index]);
      const pixels = await Promise.all(
        some.map((image) => image?.pixels ?? readImage(image?.path ?? '', size, crop)),
      );
      for (const [i, bytes] of pixels.entries())
        for (const [channel, table] of tables.entries())
          for (let p = 0; p < area; p++)
            data[((start + i) * channels + channel) * area + p] = table[
              bytes[p * channels + channel] as number
            ] as number;
    }
    return { dtype: 'float32', dims: [indices.length, channels, height, width], data };
  }
}

/** The first line of what went wrong with a file. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
}
