/** The way to a node and back in simulated time. */

/** Whatever is sent. */
export const NETWORK_MS = 1;
/** What a body takes on top, until a node has it: 500 megabits a second. */
const BYTES_PER_MS = 62_500;
/** What fits into a few packets takes nothing on top. */
const SMALL_BYTES = 4096;

/** From sending the body to having it there. */
export function transferMs(bytes: number): number {
  return bytes <= SMALL_BYTES ? 0 : bytes / BYTES_PER_MS;
}

export function networkMs(bytes: number): number {
  return NETWORK_MS + transferMs(bytes);
}
