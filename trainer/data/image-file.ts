/** One image file as the pixels a model takes: turned upright, its middle cut out, resized, in the model's channels. */
import sharp from 'sharp';
import type { ImageSize } from './data-settings.ts';

/**
 * @param crop share of the largest centred area of the target's proportions that is kept
 * @returns bytes, row by row, channels innermost: [height, width, channels]
 * @throws what sharp throws for a file that is no image or is cut off
 */
export async function readImage(path: string, size: ImageSize, crop: number): Promise<Uint8Array> {
  const upright = sharp(path, { failOn: 'warning' }).autoOrient();
  const { autoOrient: whole } = await upright.metadata();
  const area = centredArea(whole, size, crop);
  const same = area.width === size.width && area.height === size.height;
  const cut = upright.extract(area);
  const fitted = same ? cut : cut.resize({ ...dimensions(size), fit: 'fill', kernel: 'cubic' });
  const coloured = size.channels === 1 ? fitted.greyscale() : fitted.toColourspace('srgb').removeAlpha();
  const pixels = await coloured.raw({ depth: 'uchar' }).toBuffer();
  if (pixels.length === size.width * size.height * size.channels) return pixels;
  throw new Error(`has ${pixels.length / (size.width * size.height)} channels, not ${size.channels}`);
}

/** The largest centred area of the target's proportions, times `crop`; in whole pixels within the image. */
function centredArea(
  whole: { readonly width: number; readonly height: number },
  target: { readonly width: number; readonly height: number },
  crop: number,
): { left: number; top: number; width: number; height: number } {
  const scale = Math.min(whole.width / target.width, whole.height / target.height) * crop;
  const width = Math.max(1, Math.min(whole.width, Math.round(target.width * scale)));
  const height = Math.max(1, Math.min(whole.height, Math.round(target.height * scale)));
  return {
    left: Math.floor((whole.width - width) / 2),
    top: Math.floor((whole.height - height) / 2),
    width,
    height,
  };
}

function dimensions({ width, height }: ImageSize) {
  return { width, height };
}
