/** What nodes and traces know a request by: W3C Trace Context as it came, or a trace that begins here. */

/** https://www.w3.org/TR/trace-context/#traceparent-header; of a later version as much as this one knows. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;

/** @param randomHex so many random bytes as hex */
export function traceHeaders(
  headers: Headers,
  requestId: string,
  randomHex: (bytes: number) => string,
): Record<string, string> {
  const given = headers.get('traceparent');
  if (given === null || !TRACEPARENT.test(given)) {
    return { 'x-request-id': requestId, traceparent: `00-${randomHex(16)}-${randomHex(8)}-00` };
  }
  // Without a parent that is understood, the state means nothing.
  const state = headers.get('tracestate');
  return { 'x-request-id': requestId, traceparent: given, ...(state === null ? {} : { tracestate: state }) };
}
