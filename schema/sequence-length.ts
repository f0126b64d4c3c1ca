/** How large a request is, and how long its sequences are: by this, nodes measure, and the gateway predicts. */
import type { Port } from './manifest.ts';

/** Longer ones are timed with those of no length. */
const MOST = 2 ** 24;

/** Ports of sequences: free in their first two dimensions, the rows and the length. */
export function sequencePorts(ports: readonly Port[]): Port[] {
  return ports.filter(({ shape }) => shape.length >= 2 && shape[0] === -1 && shape[1] === -1);
}

/** Rows of a request with such a first tensor. */
export function rowsOf(shape: readonly number[]): number {
  return Math.max(1, shape[0] ?? 1);
}

/** Lengths that are measured together: up to this power of two; 0 where there is no length. */
export function lengthBucket(length: number): number {
  return length > 0 && length <= MOST ? 2 ** Math.ceil(Math.log2(length)) : 0;
}
