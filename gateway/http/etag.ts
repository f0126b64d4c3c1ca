/** Entity tags that are versions: `"7"`. */
import { SppError } from '../../schema/errors.ts';

export function etagOf(version: number): string {
  return `"${version}"`;
}

/**
 * Holds `If-Match` against the version in force. The comparison is the strong one (RFC 9110, 13.1.1): weak tags never match.
 * @throws `precondition-required` without the header, `etag-mismatch` when no tag of it is the current one
 */
export function requireMatch(ifMatch: string | null, version: number): void {
  if (ifMatch === null)
    throw new SppError('precondition-required', 'This change needs an If-Match header.', {
      hint: 'Read the resource first, and send the ETag that came with it.',
    });
  const tags = ifMatch.split(',').map((tag) => tag.trim());
  if (tags.includes('*') || tags.includes(etagOf(version))) return;
  throw new SppError('etag-mismatch', `The version in force is ${version}; If-Match was sent for another.`, {
    hint: 'Read the resource again, look at what changed, and send its ETag.',
    details: { version },
  });
}
