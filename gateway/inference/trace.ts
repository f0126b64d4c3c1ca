/** What nodes and traces know a request by: W3C Trace Context as it came, or a trace that begins here. */

/** https://www.w3.org/TR/trace-context/#traceparent-header; of a later version as much as this one knows (section 2.2.4). */
const TRACEPARENT =
  /^(?!ff)(?:00(?=.{53}$)|(?!00)[0-9a-f]{2})-(?<ids>(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-(?<flags>[0-9a-f]{2})(?:-.*)?$/;

/** https://www.w3.org/TR/trace-context/#tracestate-header: a member of its list. */
const MEMBER =
  /^[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;
const MOST_MEMBERS = 32;
/** What everybody hands on of it at least; nodes bound their headers, and one that refuses a client's looks as if it failed. */
const STATE_CHARACTERS = 512;
/** Longer members go first where not all can be handed on. */
const LONG_MEMBER = 128;

export interface Trace {
  readonly requestId: string;
  readonly parent: string;
  /** Null where there is none. */
  readonly state: string | null;
}

/** @param randomHex so many random bytes as hex */
export function traceOf(headers: Headers, requestId: string, randomHex: (bytes: number) => string): Trace {
  const given = headers.get('traceparent');
  const known = given === null ? null : TRACEPARENT.exec(given);
  // Without a parent that is understood, the state means nothing.
  if (given === null || known === null)
    return { requestId, parent: `00-${randomHex(16)}-${randomHex(8)}-00`, state: null };
  const { ids, flags } = known.groups as { readonly ids: string; readonly flags: string };
  const state = headers.get('tracestate');
  return {
    requestId,
    parent: given.startsWith('00-') ? given : `00-${ids}-${sampled(flags)}`,
    state: state === null ? null : handedOn(state),
  };
}

/** Of a later version's flags this one knows the last. */
function sampled(flags: string): string {
  return Number.parseInt(flags, 16) % 2 === 1 ? '01' : '00';
}

/** @returns null for what is no list of members, which says nothing then */
function handedOn(state: string): string | null {
  const members = state
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
  if (members.length > MOST_MEMBERS || !members.every((member) => MEMBER.test(member))) return null;
  while (members.length > 0) {
    const text = members.join(',');
    if (text.length <= STATE_CHARACTERS) return text;
    const long = members.findLastIndex((member) => member.length > LONG_MEMBER);
    members.splice(long < 0 ? members.length - 1 : long, 1);
  }
  return null;
}
