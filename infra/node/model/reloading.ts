/** A level's model that no thread can load: its files were there when it was made, and may have been removed since. */
import { SppError } from '../../../schema/errors.ts';
import { NOT_LOADED } from '../execution/refusal.ts';
import type { LevelCache } from './level-cache.ts';
import type { SizedLevel } from './level-models.ts';

/**
 * Runs once more where a model cannot be loaded, with one that is made anew; where that cannot be either, the level is left out for a while.
 * @param attempt tells each model that it uses, the one of its run last
 * @throws what `attempt` rejects with
 */
export async function reloading<T>(
  cache: Pick<LevelCache, 'discard' | 'fail'>,
  attempt: (using: <M extends SizedLevel | undefined>(model: M) => M) => Promise<T>,
): Promise<T> {
  let used: SizedLevel | undefined;
  const once = async (unloadable: (model: SizedLevel, error: unknown) => Promise<T>) => {
    try {
      return await attempt((model) => {
        used = model;
        return model;
      });
    } catch (error) {
      const isLoaded = !(error instanceof SppError) || error.details?.reason !== NOT_LOADED;
      if (isLoaded || used === undefined) throw error;
      return unloadable(used, error);
    }
  };
  return once((model) => {
    cache.discard(model);
    return once(async ({ level }, error) => {
      cache.fail(level, error);
      throw error;
    });
  });
}
