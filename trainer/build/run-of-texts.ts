/** What a model that does not run on texts is told with: they may be too long for it. */
import { SppError } from '../../schema/errors.ts';

/**
 * The first run of a model on the data.
 * @param length tokens of an example
 * @throws `bad-model` saying that the texts may be too long, where there are texts
 */
export function runOfTexts<T>(length: number, run: () => Promise<T>): Promise<T> {
  return run().catch((error: unknown) => {
    if (length < 2 || !(error instanceof SppError)) throw error;
    throw new SppError(error.code, error.message, {
      hint: `Examples are ${length} tokens long, which may be more than the model has positions for: try a shorter --length.`,
      cause: error,
    });
  });
}
