/**
 * Finds the first input tensor's name, shape and datatype at the beginning of a request's JSON, without reading its data: it stops
 * at the tensor's `data` or its end, and goes over data that stand before the rest, as of clients that sort members by name. It
 * only ever recognises what is well-formed, as far as it has read, data and large members aside; for everything else it answers
 * undefined, and the caller parses the whole to say what is wrong.
 */
import { type Datatype, datatypes } from '../../schema/protocol.ts';

export interface TensorHead {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: Datatype;
}

/** Nothing that a request has before its first data is nested deeper. */
const MAX_DEPTH = 8;
/** Longer strings are nobody's names. */
const MAX_STRING_BYTES = 64 * 1024;
/** So much is looked at closely, which takes ten times as long as to look where arrays and objects end: so it is with larger ones, as with data. */
const LOOKED_AT_BYTES = 64 * 1024;

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
  /** Of what is before it, only ends were looked for. */
  skipped: number;
}

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [DOT, SMALL_E, LARGE_E] = [0x2e, 0x65, 0x45];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

export function firstTensor(bytes: Uint8Array): TensorHead | undefined {
  const cursor: Cursor = { bytes, at: afterMark(bytes), skipped: 0 };
  if (!take(cursor, OPEN_BRACE)) return undefined;
  while (lookedAt(cursor) < LOOKED_AT_BYTES) {
    const key = readString(cursor);
    if (key === undefined || !take(cursor, COLON)) return undefined;
    if (key === 'inputs') {
      if (!take(cursor, OPEN_BRACKET) || !take(cursor, OPEN_BRACE)) return undefined;
      return readTensor(cursor);
    }
    if (!skipValue(cursor, 0) || !take(cursor, COMMA)) return undefined;
  }
  return undefined;
}

/** Some libraries begin text with a mark of the order of its bytes, which nodes go over, too. */
function afterMark(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

function lookedAt({ at, skipped }: Cursor): number {
  return at - skipped;
}

function readTensor(cursor: Cursor): TensorHead | undefined {
  let name: string | undefined;
  let datatype: string | undefined;
  let shape: number[] | undefined;
  while (lookedAt(cursor) < LOOKED_AT_BYTES) {
    const key = readString(cursor);
    if (key === undefined || !take(cursor, COLON)) return undefined;
    if (key === 'data') {
      if (name !== undefined && datatype !== undefined && shape !== undefined) break;
      if (!skipData(cursor)) return undefined;
    } else if (key === 'name') {
      name = readString(cursor);
      if (name === undefined || name === '') return undefined;
    } else if (key === 'datatype') {
      datatype = readString(cursor);
      if (datatype === undefined || !Object.hasOwn(datatypes, datatype)) return undefined;
    } else if (key === 'shape') {
      shape = readShape(cursor);
      if (shape === undefined) return undefined;
    } else if (!skipValue(cursor, 0)) return undefined;
    if (take(cursor, COMMA)) continue;
    if (take(cursor, CLOSE_BRACE)) break;
    return undefined;
  }
  if (name === undefined || datatype === undefined || shape === undefined) return undefined;
  return { name, datatype: datatype as Datatype, shape };
}

function readShape(cursor: Cursor): number[] | undefined {
  if (!take(cursor, OPEN_BRACKET)) return undefined;
  const shape: number[] = [];
  if (take(cursor, CLOSE_BRACKET)) return shape;
  while (shape.length < 16) {
    const dimension = readInteger(cursor);
    if (dimension === undefined) return undefined;
    shape.push(dimension);
    if (take(cursor, CLOSE_BRACKET)) return shape;
    if (!take(cursor, COMMA)) return undefined;
  }
  return undefined;
}

function readInteger(cursor: Cursor): number | undefined {
  skipSpace(cursor);
  const from = cursor.at;
  let value = 0;
  for (let byte = peek(cursor); byte >= 0x30 && byte <= 0x39; byte = peek(cursor)) {
    value = value * 10 + byte - 0x30;
    cursor.at++;
  }
  const digits = cursor.at - from;
  const next = peek(cursor);
  if (digits > 15 || next === DOT || next === SMALL_E || next === LARGE_E) {
    cursor.at = from;
    return unusualInteger(cursor);
  }
  const leadingZero = digits > 1 && cursor.bytes[from] === 0x30;
  return digits === 0 || leadingZero ? undefined : value;
}

/** 1.0 and 1e3 are integers, too. */
function unusualInteger(cursor: Cursor): number | undefined {
  const text = scalarText(cursor);
  const value = SCALAR.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Undefined where it is malformed, or longer than any name. */
function readString(cursor: Cursor): string | undefined {
  if (!take(cursor, QUOTE)) return undefined;
  const from = cursor.at;
  for (let byte = peek(cursor); byte !== QUOTE; byte = peek(cursor)) {
    // Names of one of ours and most others are short, and ASCII.
    if (byte < 0x20 || byte > 0x7e || byte === BACKSLASH || cursor.at - from > 256)
      return unusualString(cursor, from);
    cursor.at++;
  }
  cursor.at++;
  return textOf(cursor.bytes, from, cursor.at - 1);
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @param from behind its opening quote */
function unusualString(cursor: Cursor, from: number): string | undefined {
  const { bytes } = cursor;
  const end = stringEnd(bytes, from - 1, from + MAX_STRING_BYTES);
  if (bytes[end] !== QUOTE) return undefined;
  cursor.at = end + 1;
  try {
    return JSON.parse(decoder.decode(bytes.subarray(from - 1, end + 1))) as string;
  } catch {
    return undefined;
  }
}

/** What nearly all strings before the data are: put together from their characters they would cost more than all the rest. */
const WORDS = ['id', 'inputs', 'name', 'shape', 'data', 'datatype', 'parameters', ...Object.keys(datatypes)];

function textOf(bytes: Uint8Array, from: number, to: number): string {
  for (const word of WORDS) {
    if (word.length !== to - from) continue;
    let same = 0;
    while (same < word.length && word.charCodeAt(same) === bytes[from + same]) same++;
    if (same === word.length) return word;
  }
  let text = '';
  for (let at = from; at < to; at++) text += String.fromCharCode(bytes[at] as number);
  return text;
}

/** An array, or `null` where serialisers write what was left out. */
function skipData(cursor: Cursor): boolean {
  skipSpace(cursor);
  return peek(cursor) === OPEN_BRACKET ? skipNested(cursor) : scalarText(cursor) === 'null';
}

/** To the end of the array or object that begins here; of what is in it only where strings, arrays and objects begin and end. */
function skipNested(cursor: Cursor): boolean {
  const { bytes, at: from } = cursor;
  let depth = 0;
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    // Most are digits.
    if (byte < OPEN_BRACKET && byte !== QUOTE) continue;
    if (byte === QUOTE) at = stringEnd(bytes, at, bytes.length);
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) depth++;
    else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) depth--;
    if (depth > 0) continue;
    cursor.at = at + 1;
    cursor.skipped += cursor.at - from;
    return true;
  }
  return false;
}

/** Where the string ends that begins at `from`; `limit` or a little more where it does not before. */
function stringEnd(bytes: Uint8Array, from: number, limit: number): number {
  let at = from + 1;
  while (at < limit && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

/** A string, a number, a word, or an object or array of them. */
function skipValue(cursor: Cursor, depth: number): boolean {
  skipSpace(cursor);
  const byte = peek(cursor);
  if (byte === QUOTE) return readString(cursor) !== undefined;
  if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
    if (depth >= MAX_DEPTH) return false;
    if (depth === 0) {
      const ahead: Cursor = { ...cursor };
      if (!skipNested(ahead)) return false;
      if (ahead.at - cursor.skipped > LOOKED_AT_BYTES) {
        Object.assign(cursor, ahead);
        return true;
      }
    }
    const close = byte === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET;
    cursor.at++;
    if (take(cursor, close)) return true;
    for (;;) {
      if (byte === OPEN_BRACE && (readString(cursor) === undefined || !take(cursor, COLON))) return false;
      if (!skipValue(cursor, depth + 1)) return false;
      if (take(cursor, close)) return true;
      if (!take(cursor, COMMA)) return false;
    }
  }
  return skipScalar(cursor);
}

const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

function skipScalar(cursor: Cursor): boolean {
  return SCALAR.test(scalarText(cursor));
}

function scalarText(cursor: Cursor): string {
  let text = '';
  for (let byte = peek(cursor); byte > 0x20 && text.length < 32; byte = peek(cursor)) {
    if (byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET) break;
    text += String.fromCharCode(byte);
    cursor.at++;
  }
  return text;
}

/** Whether the next byte behind white space is `byte`, which is then behind the cursor. */
function take(cursor: Cursor, byte: number): boolean {
  skipSpace(cursor);
  if (cursor.bytes[cursor.at] !== byte) return false;
  cursor.at++;
  return true;
}

function skipSpace(cursor: Cursor): void {
  for (
    let byte = peek(cursor);
    byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
    byte = peek(cursor)
  )
    cursor.at++;
}

/** -1 beyond the end. */
function peek(cursor: Cursor): number {
  return cursor.bytes[cursor.at] ?? -1;
}
