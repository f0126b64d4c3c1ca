/** A stream of which the beginning was read already. */

/**
 * @param through what the bytes go through; it says whether their number is known
 * @param stop breaks both ends off
 * @param ended told when all has gone through
 * @returns the readable end of `through`
 */
export function continued(
  read: readonly Uint8Array[],
  rest: ReadableStream<Uint8Array>,
  { readable, writable }: IdentityTransformStream,
  stop?: AbortSignal,
  ended: () => void = () => {},
): ReadableStream {
  const pump = async () => {
    const writer = writable.getWriter();
    for (const chunk of read) await writer.write(chunk);
    writer.releaseLock();
    await rest.pipeTo(writable, stop === undefined ? {} : { signal: stop });
    ended();
  };
  // The readable end sees the failure; here is nobody to tell.
  pump().catch((reason: unknown) => writable.abort(reason).catch(() => {}));
  return readable;
}
