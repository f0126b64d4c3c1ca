/** How bodies may be compressed on their way (`Content-Encoding`), at gateway and node alike. */
import { SppError } from './errors.ts';

export type Coding = 'gzip' | 'deflate';

const codings: Readonly<Record<string, Coding>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
};

/**
 * @param text the header; absent or empty where the body came as it is
 * @returns undefined where it came as it is
 * @throws `unsupported-media-type`
 */
export function codingNamed(text: string | null | undefined): Coding | undefined {
  const name = text?.trim().toLowerCase() ?? '';
  if (name === 'identity' || name === '') return undefined;
  const coding = Object.hasOwn(codings, name) ? codings[name] : undefined;
  if (coding === undefined)
    throw new SppError(
      'unsupported-media-type',
      `The Content-Encoding ${JSON.stringify(name.slice(0, 40))} is not supported.`,
      {
        hint: 'Send the body as it is, or with gzip or deflate.',
        headers: { 'accept-encoding': 'gzip, deflate' },
      },
    );
  return coding;
}
