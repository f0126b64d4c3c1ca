/** What nodes and traces know a request by: W3C Trace Context as it came, or a trace that begins here. */

/** https://www.w3.org/TR/trace-context/#traceparent-header; of a later version as much as this one knows. */
const TRACEPARENT =
  /^(?!ff)(?:00(?=.{53}$)|(?!00)[0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;

export interface Trace {
  readonly requestId: string;
  readonly parent: string;
  /** Null where there is none. */
  readonly state: string | null;
}

/** @param randomHex so many random bytes as hex */
export function traceOf(headers: Headers, requestId: string, randomHex: (bytes: number) => string): Trace {
  const given = headers.get('traceparent');
  if (given === null || !TRACEPARENT.test(given)) {
    // Without a parent that is understood, the state means nothing.
    return { requestId, parent: `00-${randomHex(16)}-${randomHex(8)}-00`, state: null };
  }
  return { requestId, parent: given, state: headers.get('tracestate') };
}
