/** Length of a request's sequences, by which nodes measure their runs. */
import { lengthBucket, sequencePorts } from '../../schema/sequence-length.ts';
import type { CatalogVersion } from '../storage/catalog.ts';
import type { FirstTensor } from './upload.ts';

/** Worked out once for each copy of the catalog. */
const namesOf = new WeakMap<CatalogVersion, ReadonlySet<string>>();

/** As nodes put lengths together; 0 where the model takes no sequences, or the request's first tensor is none. */
export function lengthIn(version: CatalogVersion, { name, shape }: FirstTensor): number {
  let names = namesOf.get(version);
  if (names === undefined) {
    names = new Set(sequencePorts(version.inputs).map((port) => port.name));
    namesOf.set(version, names);
  }
  return names.has(name) ? lengthBucket(shape[1] ?? 0) : 0;
}
