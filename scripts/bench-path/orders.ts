/** Orders that the search has found, one file a model, form and seed beside the results. */

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { OrderCache } from './subject.ts';

const orderSchema = z.object({ fingerprint: z.string(), order: z.array(z.int().nonnegative()) });

/** @param fingerprint of all that decides the order */
export function orderCache(cache: string, model: string, seed: number, fingerprint: string): OrderCache {
  const folder = join(cache, 'orders');
  const fileOf = (form: string) => join(folder, `${model}.${form}.${seed}.json`);
  return {
    async read(form) {
      const text = await readFile(fileOf(form), 'utf8').catch(() => undefined);
      const kept = text === undefined ? undefined : orderSchema.safeParse(JSON.parse(text)).data;
      return kept?.fingerprint === fingerprint ? kept.order : undefined;
    },
    async write(form, order) {
      await mkdir(folder, { recursive: true });
      const partial = `${fileOf(form)}.${process.pid}.partial`;
      await writeFile(partial, `${JSON.stringify({ fingerprint, order })}\n`);
      await rename(partial, fileOf(form));
    },
  };
}
