/** Codecs of the contract's headers. Parsed once at the edge; malformed is an error, never ignored. */
import { SppError } from './errors.ts';

export const headerNames = {
  latencyBudget: 'x-latency-budget',
  costBudget: 'x-cost-budget',
  minQuality: 'x-min-quality',
  slaClass: 'x-sla-class',
  pathLevel: 'x-path-level',
  /** To a node: the sparsest level it may step down to; without it, it serves the level asked for or none. */
  minLevel: 'x-path-min-level',
  /**
   * To a node: rows of the request's first tensor and, behind a semicolon, its sequences' length as nodes put lengths together, as they were
   * read and are paid for; a request that comes to be another is refused.
   */
  work: 'x-path-work',
  /** From a node: the level asked for, where it stepped down from that. */
  steppedFrom: 'x-path-stepped-from',
  pathSparsity: 'x-path-sparsity',
  pathQuality: 'x-path-quality',
  cost: 'x-cost',
  policyVersion: 'x-policy-version',
  budgetRemaining: 'x-latency-budget-remaining',
  artifactVersion: 'x-artifact-version',
  decision: 'x-path-decision',
  explain: 'x-explain',
  explanation: 'x-path-explanation',
} as const;

/** The longest budget that makes sense: one day. Anything above is a unit mistake. */
const MAX_LATENCY_BUDGET_MS = 86_400_000;
/** Behind the point there is room for whatever a program writes of a double: one third of a second is 333.3333333333333. */
const DURATION = /^(\d{1,12}(?:\.\d{1,30})?)(ms|s)?$/;
const MONEY = /^(?<value>\d{1,12}(?:\.\d{1,30})?)(?<unit>u)?$/;
const UNIT_INTERVAL = /^(?:0(?:\.\d{1,30})?|1(?:\.0{1,30})?)$/;

/**
 * `40`, `40ms` or `1.5s` as milliseconds.
 * @param header how the message calls the header that `text` came from
 * @throws `bad-header` when malformed, zero, or above one day
 */
export function parseLatencyBudget(text: string, header = 'X-Latency-Budget'): number {
  const [, value = '', unit] = DURATION.exec(text.trim()) ?? [];
  const budgetMs = value === '' ? Number.NaN : Number(value) * (unit === 's' ? 1000 : 1);
  if (!(budgetMs > 0 && budgetMs <= MAX_LATENCY_BUDGET_MS)) {
    throw badHeader(
      header,
      text,
      'a positive number of milliseconds such as 40 or 40ms, or seconds such as 1.5s',
    );
  }
  return budgetMs;
}

/**
 * US dollars (`0.0005`) or micro-dollars (`500u`) as whole nano-dollars; what is finer is rounded down, for the client.
 * @throws `bad-header` when malformed, below one nano-dollar, or beyond the integers that a double holds exactly
 */
export function parseCostBudget(text: string): number {
  const groups = MONEY.exec(text.trim())?.groups;
  const [whole = '', fraction = ''] = groups?.value?.split('.') ?? [];
  const digits = groups?.unit === 'u' ? 3 : 9;
  const nanoUsd = groups === undefined ? 0n : BigInt(whole + fraction.slice(0, digits).padEnd(digits, '0'));
  if (nanoUsd <= 0n || nanoUsd > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw badHeader('X-Cost-Budget', text, 'US dollars such as 0.0005, or micro-dollars such as 500u');
  }
  return Number(nanoUsd);
}

/** Whole nano-dollars as US dollars: all that `parseCostBudget` reads back, never an exponent. */
export function formatNanoUsd(nanoUsd: number): string {
  if (nanoUsd === 0) return '0';
  const digits = String(nanoUsd).padStart(10, '0');
  return `${digits.slice(0, -9)}.${digits.slice(-9)}`.replace(/\.?0+$/, '');
}

/**
 * A quality between 0 and 1.
 * @throws `bad-header` otherwise
 */
export function parseMinQuality(text: string): number {
  if (!UNIT_INTERVAL.test(text.trim())) throw badHeader('X-Min-Quality', text, 'a number from 0 to 1');
  return Number(text.trim());
}

/** @param length of sequences; 0 for none */
export function formatWork(batch: number, length: number): string {
  return length > 0 ? `${batch};${length}` : String(batch);
}

/** Milliseconds as a header value: at most three decimals, never an exponent. */
export function formatMs(ms: number): string {
  // `String` of a fraction would be remembered by the engine, in memory that is collected with all of the heap only.
  const text = Math.max(0, ms).toFixed(3);
  let end = text.length;
  while (text.charCodeAt(end - 1) === ZERO) end--;
  return text.slice(0, text.charCodeAt(end - 1) === DOT ? end - 1 : end);
}

/** Entries of a `Server-Timing` header (W3C), durations in ms. */
export function formatServerTiming(entries: Readonly<Record<string, number>>): string {
  let text = '';
  for (const name in entries)
    text += `${text === '' ? '' : ', '}${name};dur=${formatMs(entries[name] as number)}`;
  return text;
}

/**
 * The duration in ms of one entry of a `Server-Timing` header, as a peer of ours sends it; undefined where it is not there or not
 * understood: the header informs, nothing fails for want of it. Read in place: a gateway does this with each answer.
 */
export function serverTiming(text: string, name: string): number | undefined {
  for (let from = 0; from < text.length; ) {
    const end = placeOf(text, COMMA, from, text.length);
    const at = spaceEnd(text, from, end);
    if (text.startsWith(name, at)) {
      const parameters = spaceEnd(text, at + name.length, end);
      const durationMs =
        text.charCodeAt(parameters) === SEMICOLON ? duration(text, parameters, end) : undefined;
      if (durationMs !== undefined) return durationMs;
    }
    from = end + 1;
  }
  return undefined;
}

const [SPACE, COMMA, DOT, SEMICOLON, ZERO] = [0x20, 0x2c, 0x2e, 0x3b, 0x30];
const DURATION_PARAMETER = 'dur=';

/** The first `dur` that is a number, of the parameters from a semicolon on. */
function duration(text: string, from: number, end: number): number | undefined {
  for (let at = from; at < end; ) {
    const start = spaceEnd(text, at + 1, end);
    at = placeOf(text, SEMICOLON, start, end);
    if (!text.startsWith(DURATION_PARAMETER, start)) continue;
    const value = decimal(text, start + DURATION_PARAMETER.length, at);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** Digits, and digits behind a dot: 12 and 9 at most; white space behind them. */
function decimal(text: string, from: number, end: number): number | undefined {
  let digits = 0;
  let dot = -1;
  let at = from;
  for (; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code === DOT && dot < 0) dot = at;
    else if (code >= 0x30 && code <= 0x39) digits = digits * 10 + code - 0x30;
    else break;
  }
  const whole = (dot < 0 ? at : dot) - from;
  const fraction = dot < 0 ? 0 : at - dot - 1;
  if (whole < 1 || whole > 12 || fraction > 9 || (dot >= 0 && fraction < 1)) return undefined;
  return spaceEnd(text, at, end) < end ? undefined : digits / 10 ** fraction;
}

/** The first place that is not white space; `end` where there is none. */
function spaceEnd(text: string, from: number, end: number): number {
  let at = from;
  while (at < end && (text.charCodeAt(at) === SPACE || text.charCodeAt(at) === 0x09)) at++;
  return at;
}

/** `end` where there is none. */
function placeOf(text: string, code: number, from: number, end: number): number {
  let at = from;
  while (at < end && text.charCodeAt(at) !== code) at++;
  return Math.min(at, end);
}

function badHeader(header: string, text: string, wanted: string): SppError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}...` : text;
  return new SppError('bad-header', `${header}: ${JSON.stringify(shown)} is not understood.`, {
    hint: `Send ${wanted}.`,
    details: { header },
  });
}
