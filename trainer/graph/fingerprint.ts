/** What tells tensors apart without reading them whole. */
import { elementAt, originOf } from './deferred.ts';
import { elementCount, type Tensor } from './graph.ts';

/** Elements that are looked at, evenly spread. */
const SAMPLES = 16;

/** Equal tensors have equal ones; different tensors hardly ever do. Reads a few elements of what lies in a file. */
export function fingerprint(tensor: Tensor): string {
  const origin = originOf(tensor);
  if (origin?.derivation)
    return `${tensor.dims} ${JSON.stringify(origin.derivation)} of ${fingerprint(origin.from)}`;
  return `${tensor.dims} ${samplesOf(tensor)}`;
}

/** A tensor that was made of another one shows the other one's. */
export function samplesOf(tensor: Tensor): number[] {
  const origin = originOf(tensor);
  if (origin?.derivation) return samplesOf(origin.from);
  const count = elementCount(tensor.dims);
  const step = Math.max(1, Math.floor(count / SAMPLES));
  return Array.from({ length: Math.min(SAMPLES, count) }, (_, i) => elementAt(tensor, i * step));
}
