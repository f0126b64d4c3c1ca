/** exp, erf and tanh of float arrays, four at a time; tfjs's wasm backend computes them one by one through libm. */
import {
  add,
  type Code,
  f32Store,
  f32x4Abs,
  f32x4Add,
  f32x4Const,
  f32x4Div,
  f32x4FirstLane,
  f32x4Mul,
  f32x4Neg,
  f32x4PseudoMax,
  f32x4PseudoMin,
  f32x4Sub,
  get,
  i32,
  i32x4Add,
  i32x4Const,
  i32x4ShiftLeft,
  type Local,
  localAllocator,
  loopBy,
  set,
  v128And,
  v128Load,
  v128LoadSplat,
  v128Or,
  v128Store,
  type WasmFunction,
} from './assembler.ts';

const unaryNames = ['exp', 'erf', 'tanh'] as const;
export type UnaryName = (typeof unaryNames)[number];

/** Leaves f(x) on the stack; may use the registers as it likes. */
type Expression = (x: Local, registers: readonly [Local, Local, Local, Local], pool: Pool) => Code;

/** Constants held in locals: V8 rebuilds a vector constant wherever it stands, in loops too. */
interface Pool {
  float(value: number): Code;
  integer(value: number): Code;
  /** Fills the locals; stands in front of the loops. */
  prologue(): Code;
}

function constantPool(local: (type: 'v128') => Local): Pool {
  const known = new Map<string, { local: Local; value: Code }>();
  const entry = (key: string, value: Code): Code => {
    const held = known.get(key) ?? { local: local('v128'), value };
    known.set(key, held);
    return get(held.local);
  };
  return {
    float: (value) => entry(`f${value}`, f32x4Const(value)),
    integer: (value) => entry(`i${value}`, i32x4Const(value)),
    prologue: () => [...known.values()].map((held) => set(held.local, held.value)),
  };
}

/** Coefficients from the highest power down, by Horner. */
function polynomial(x: Local, coefficients: readonly number[], pool: Pool): Code {
  const [first, ...rest] = coefficients as [number, ...number[]];
  return rest.reduce<Code>((sum, c) => f32x4Add(f32x4Mul(sum, get(x)), pool.float(c)), pool.float(first));
}

/** Least-squares coefficients of e^r on |r| <= ln 2 / 2, from r^5 down to r^0 behind the leading one (Cephes, expf). */
const EXP_COEFFICIENTS = [
  1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
];

/** Adding it to a float below 2^22 rounds to a whole number, which then stands in the lowest bits. */
const ROUNDER = 1.5 * 2 ** 23;

/**
 * e^x = 2^n e^r with n = round(x / ln 2). 2^n is made as 2 * 2^(n - 1), so that n = 128 works and the smallest results flush to
 * zero; beyond +-89 the result is infinite or zero, and not-a-number stays.
 */
function exponential(x: Code, [n, r, bits]: readonly [Local, Local, Local, Local], pool: Pool): Code {
  const clamped = f32x4PseudoMax(f32x4PseudoMin(x, pool.float(89)), pool.float(-87.33));
  // ln 2 in two parts: the first has few bits, so that n times it is exact.
  const reduced = f32x4Sub(
    f32x4Sub(get(r), f32x4Mul(get(n), pool.float(0.693359375))),
    f32x4Mul(get(n), pool.float(-2.1219444e-4)),
  );
  const square = f32x4Mul(f32x4Mul(polynomial(r, EXP_COEFFICIENTS, pool), get(r)), get(r));
  const mantissa = f32x4Add(f32x4Add(square, get(r)), pool.float(1));
  // The shift drops all but the lowest nine bits, and with them the rounder's own.
  const power = i32x4ShiftLeft(i32x4Add(get(bits), pool.integer(126)), 23);
  return [
    set(r, clamped),
    set(bits, f32x4Add(f32x4Mul(get(r), pool.float(Math.LOG2E)), pool.float(ROUNDER))),
    set(n, f32x4Sub(get(bits), pool.float(ROUNDER))),
    set(r, reduced),
    f32x4Mul(f32x4Mul(mantissa, power), pool.float(2)),
  ];
}

const withSignOf = (x: Local, magnitude: Code, pool: Pool): Code =>
  v128Or(magnitude, v128And(get(x), pool.integer(-(2 ** 31))));

/** Abramowitz and Stegun 7.1.26: 1.5e-7 absolute, and as much again by rounding near zero. */
const ERF_COEFFICIENTS = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];

const expressions = {
  exp: (x, registers, pool) => exponential(get(x), registers, pool),
  erf: (x, registers, pool) => {
    const [result, , , t] = registers;
    const scaled = f32x4Add(f32x4Mul(f32x4Abs(get(x)), pool.float(0.3275911)), pool.float(1));
    const tail = f32x4Mul(f32x4Mul(polynomial(t, ERF_COEFFICIENTS, pool), get(t)), get(result));
    return [
      set(t, f32x4Div(pool.float(1), scaled)),
      set(result, exponential(f32x4Neg(f32x4Mul(get(x), get(x))), registers, pool)),
      withSignOf(x, f32x4Sub(pool.float(1), tail), pool),
    ];
  },
  tanh: (x, registers, pool) => {
    const [, , , t] = registers;
    return [
      set(t, exponential(f32x4Mul(f32x4Abs(get(x)), pool.float(-2)), registers, pool)),
      withSignOf(x, f32x4Div(f32x4Sub(pool.float(1), get(t)), f32x4Add(pool.float(1), get(t))), pool),
    ];
  },
} as const satisfies Record<UnaryName, Expression>;

/** (from, to, count): whole vectors, then what is left one element at a time through a vector's first lane. */
function unaryFunction(name: UnaryName, expression: Expression): WasmFunction {
  const [from, to, count] = [0, 1, 2] as const;
  const { local, types } = localAllocator(3);
  const i = local('i32');
  const x = local('v128');
  const registers = [local('v128'), local('v128'), local('v128'), local('v128')] as const;
  const pool = constantPool(local);
  const advance = (bytes: number): Code =>
    [from, to].map((pointer) => set(pointer, add(get(pointer), i32(bytes))));
  const value = expression(x, registers, pool);
  const body: Code = [
    pool.prologue(),
    set(i, i32(0)),
    loopBy(i, 4, get(count), [
      set(x, v128Load(get(from))),
      set(x, value),
      v128Store(get(to), get(x)),
      advance(16),
    ]),
    loopBy(i, 1, get(count), [
      set(x, v128LoadSplat(get(from))),
      set(x, value),
      f32Store(get(to), f32x4FirstLane(get(x))),
      advance(4),
    ]),
  ];
  return { name, parameters: 3, locals: types, body };
}

export const unaryFunctions: readonly WasmFunction[] = unaryNames.map((name) =>
  unaryFunction(name, expressions[name]),
);
