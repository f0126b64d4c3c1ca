/** What HTTP asks of every request, whatever it is for, and node's own server leaves to the application. */
import type { IncomingMessage } from 'node:http';
import { SppError } from '../../../schema/errors.ts';

/**
 * @throws `bad-header` where HTTP/1.1 has not one `Host`, `unsupported-transfer-coding` where the body was coded on its way in more than
 *   chunks: it would be taken for what it is not
 */
export function requireHttpRules(request: IncomingMessage): void {
  if (request.httpVersion === '1.1' && hostsOf(request) !== 1)
    throw new SppError('bad-header', 'HTTP/1.1 asks for one Host, and the request has none or several.', {
      hint: 'Send the header Host once.',
      details: { header: 'Host' },
    });
  const codings = request.headers['transfer-encoding'];
  if (codings !== undefined && !CHUNKS_ALONE.test(codings))
    throw new SppError(
      'unsupported-transfer-coding',
      `The Transfer-Encoding ${JSON.stringify(codings.slice(0, 40))} is not supported.`,
      { hint: 'Send the body in chunks or with its length; it may be compressed by Content-Encoding.' },
    );
}

/** Whether nothing that comes behind a request is to be read: HTTP/1.0 knows no chunks, so others may see its end elsewhere (RFC 9112, 6.1). */
export function endsItsConnection({ httpVersion, headers }: IncomingMessage): boolean {
  return httpVersion === '1.0' && headers['transfer-encoding'] !== undefined;
}

/** Of a list elements may be empty. */
const CHUNKS_ALONE = /^[\s,]*chunked[\s,]*$/i;

/** How many lines of the header there are: of several, proxies may have gone by another than this server would. */
function hostsOf({ rawHeaders }: IncomingMessage): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i]?.length === HOST.length && rawHeaders[i]?.toLowerCase() === HOST) count++;
  return count;
}

const HOST = 'host';
