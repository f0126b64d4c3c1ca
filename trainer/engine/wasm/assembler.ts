/**
 * A very small WebAssembly assembler: enough to write numeric loops over an imported memory, with SIMD, and no build step.
 * Code is nested arrays of bytes; https://webassembly.github.io/spec/core/binary/ gives the numbers.
 */

export type Code = readonly (number | Code)[];
export type Local = number;
export type ValueType = 'i32' | 'f32' | 'v128';

const typeBytes = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const satisfies Record<ValueType, number>;

/** Unsigned LEB128. */
export function unsigned(value: number): number[] {
  const low = value & 0x7f;
  const rest = value >>> 7;
  return rest === 0 ? [low] : [low | 0x80, ...unsigned(rest)];
}

/** Signed LEB128 of a 32-bit integer. */
export function signed(value: number): number[] {
  const low = value & 0x7f;
  const rest = value >> 7;
  const done = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
  return done ? [low] : [low | 0x80, ...signed(rest)];
}

function floatBytes(value: number): number[] {
  return [...new Uint8Array(Float32Array.of(value).buffer)];
}

const simd = (opcode: number, ...rest: Code): Code => [0xfd, unsigned(opcode), rest];
/** Alignment hint, then the constant offset. */
const memoryArgument = (align: number, offset: number): Code => [align, unsigned(offset)];

export const get = (local: Local): Code => [0x20, unsigned(local)];
export const set = (local: Local, value: Code): Code => [value, 0x21, unsigned(local)];
export const i32 = (value: number): Code => [0x41, signed(value)];
export const f32 = (value: number): Code => [0x43, floatBytes(value)];

export const add = (a: Code, b: Code): Code => [a, b, 0x6a];
export const mul = (a: Code, b: Code): Code => [a, b, 0x6c];
export const shiftLeft = (a: Code, bits: number): Code => [a, i32(bits), 0x74];
const lessOrEqual = (a: Code, b: Code): Code => [a, b, 0x4c];

export const f32Load = (address: Code, offset = 0): Code => [address, 0x2a, memoryArgument(2, offset)];
export const f32Store = (address: Code, value: Code, offset = 0): Code => [
  address,
  value,
  0x38,
  memoryArgument(2, offset),
];
export const f32Add = (a: Code, b: Code): Code => [a, b, 0x92];
export const f32Mul = (a: Code, b: Code): Code => [a, b, 0x94];

export const v128Load = (address: Code, offset = 0): Code => [address, simd(0x00, memoryArgument(2, offset))];
export const v128LoadSplat = (address: Code, offset = 0): Code => [
  address,
  simd(0x09, memoryArgument(2, offset)),
];
export const v128Store = (address: Code, value: Code, offset = 0): Code => [
  address,
  value,
  simd(0x0b, memoryArgument(2, offset)),
];
export const v128Zero: Code = simd(0x0c, new Array<number>(16).fill(0));
export const f32x4Add = (a: Code, b: Code): Code => [a, b, simd(0xe4)];
export const f32x4Mul = (a: Code, b: Code): Code => [a, b, simd(0xe6)];
/** a * b + c, fused where the processor can; part of relaxed SIMD. */
export const f32x4RelaxedMultiplyAdd = (a: Code, b: Code, c: Code): Code => [a, b, c, simd(0x105)];

export const f32x4Sub = (a: Code, b: Code): Code => [a, b, simd(0xe5)];
export const f32x4Div = (a: Code, b: Code): Code => [a, b, simd(0xe7)];
/** b < a ? b : a, and a < b ? b : a: one instruction each where the IEEE forms take ten; a that is not a number stays. */
export const f32x4PseudoMin = (a: Code, b: Code): Code => [a, b, simd(0xea)];
export const f32x4PseudoMax = (a: Code, b: Code): Code => [a, b, simd(0xeb)];
export const f32x4Abs = (a: Code): Code => [a, simd(0xe0)];
export const f32x4Neg = (a: Code): Code => [a, simd(0xe1)];
/** All four lanes a constant. */
export const f32x4Const = (value: number): Code => {
  const lane = floatBytes(value);
  return simd(0x0c, [lane, lane, lane, lane]);
};
export const i32x4Const = (value: number): Code => {
  const lane = [...new Uint8Array(Int32Array.of(value).buffer)];
  return simd(0x0c, [lane, lane, lane, lane]);
};
export const f32x4FirstLane = (a: Code): Code => [a, simd(0x1f, 0)];
export const i32x4Add = (a: Code, b: Code): Code => [a, b, simd(0xae)];
export const i32x4ShiftLeft = (a: Code, bits: number): Code => [a, i32(bits), simd(0xab)];
export const v128And = (a: Code, b: Code): Code => [a, b, simd(0x4e)];
export const v128Or = (a: Code, b: Code): Code => [a, b, simd(0x50)];

/** Repeats `body` while `i + step <= limit`, then adds `step` to i. */
export function loopBy(i: Local, step: number, limit: Code, body: Code): Code {
  const goesOn = lessOrEqual(add(get(i), i32(step)), limit);
  // block loop (br_if out unless goesOn) body, i += step, br loop
  return [
    [0x02, 0x40, 0x03, 0x40],
    [goesOn, 0x45, 0x0d, unsigned(1)],
    body,
    set(i, add(get(i), i32(step))),
    [0x0c, unsigned(0), 0x0b, 0x0b],
  ];
}

export interface WasmFunction {
  readonly name: string;
  /** All i32; they are the first locals. */
  readonly parameters: number;
  readonly locals: readonly ValueType[];
  readonly body: Code;
}

/** Numbers locals as they are asked for, behind the parameters. */
export function localAllocator(parameters: number): {
  readonly types: ValueType[];
  local(type: ValueType): Local;
} {
  const types: ValueType[] = [];
  return {
    types,
    local(type) {
      types.push(type);
      return parameters + types.length - 1;
    },
  };
}

function flatten(code: Code): number[] {
  const bytes: number[] = [];
  const walk = (part: Code): void => {
    for (const item of part)
      if (typeof item === 'number') bytes.push(item);
      else walk(item);
  };
  walk(code);
  return bytes;
}

const sized = (code: Code): number[] => {
  const bytes = flatten(code);
  return [...unsigned(bytes.length), ...bytes];
};
const section = (id: number, items: readonly Code[]): Code => [id, sized([unsigned(items.length), ...items])];
const text = (value: string): Code => {
  const bytes = new TextEncoder().encode(value);
  return [unsigned(bytes.length), [...bytes]];
};

/** A module that imports its memory as `env.memory` and exports the functions, which return nothing. */
export function assemble(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(
    ({ parameters }): Code => [
      0x60,
      unsigned(parameters),
      new Array<number>(parameters).fill(typeBytes.i32),
      0,
    ],
  );
  const bodies = functions.map(({ locals, body }) =>
    sized([unsigned(locals.length), locals.map((type) => [1, typeBytes[type]]), body, 0x0b]),
  );
  return Uint8Array.from(
    flatten([
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, types),
      section(2, [[text('env'), text('memory'), 0x02, 0x00, unsigned(0)]]),
      section(
        3,
        functions.map((_, index) => unsigned(index)),
      ),
      section(
        7,
        functions.map(({ name }, index) => [text(name), 0x00, unsigned(index)]),
      ),
      section(10, bodies),
    ]),
  );
}
