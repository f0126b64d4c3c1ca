/** The loops that tfjs's wasm backend lacks a fast form of, as WebAssembly: a matrix product, a strided copy, and functions of `unary-code.ts`. */
import {
  add,
  assemble,
  type Code,
  f32,
  f32Add,
  f32Load,
  f32Mul,
  f32Store,
  f32x4Add,
  f32x4Mul,
  f32x4RelaxedMultiplyAdd,
  get,
  i32,
  type Local,
  localAllocator,
  loopBy,
  mul,
  set,
  shiftLeft,
  v128Load,
  v128LoadSplat,
  v128Store,
  v128Zero,
  type WasmFunction,
} from './assembler.ts';
import { type WasmMemory, webAssembly } from './runtime.ts';
import { type UnaryName, unaryFunctions } from './unary-code.ts';

/** All arguments are byte addresses, byte strides or element counts. */
export interface NumericFunctions
  extends Readonly<Record<UnaryName, (from: number, to: number, count: number) => void>> {
  /**
   * C[n, m] = A[n, k] B[k, m]: A anywhere (element i, p at a + i * aRow + p * aColumn), rows of B contiguous
   * (bRow bytes apart), C dense. A block of C stays in registers while k runs.
   */
  matmul(
    a: number,
    b: number,
    c: number,
    n: number,
    k: number,
    m: number,
    aRow: number,
    aColumn: number,
    bRow: number,
  ): void;
  /** to[i, j] = from[i, j]: `to` dense, `from` at any strides. */
  copy(
    from: number,
    to: number,
    rows: number,
    columns: number,
    rowStride: number,
    columnStride: number,
  ): void;
}

type MultiplyAdd = (a: Code, b: Code, c: Code) => Code;

const twoStep: MultiplyAdd = (a, b, c) => f32x4Add(f32x4Mul(a, b), c);

/** Rows and vectors of four of the block of C that stays in registers: 4 x 8 floats in 8 of wasm's 16 vector registers. */
const BLOCK_ROWS = 4;
const BLOCK_VECTORS = 2;

function matmulFunction(multiplyAdd: MultiplyAdd): WasmFunction {
  const [a, b, c, n, k, m, aRow, aColumn, bRow] = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
  const { local, types } = localAllocator(9);
  const [i, j, p, pb, out, cRow] = Array.from({ length: 6 }, () => local('i32')) as [
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
  ];
  const pa = Array.from({ length: BLOCK_ROWS }, () => local('i32'));
  const sums = pa.map(() => Array.from({ length: BLOCK_VECTORS }, () => local('v128')));
  const row = Array.from({ length: BLOCK_VECTORS }, () => local('v128'));
  const scalars = pa.map(() => local('f32'));

  const start = (rows: number): Code => [
    set(pb, add(get(b), shiftLeft(get(j), 2))),
    set(out, add(get(c), add(mul(get(i), get(cRow)), shiftLeft(get(j), 2)))),
    set(p, i32(0)),
    pa.slice(0, rows).map((pointer, r) => set(pointer, add(get(a), mul(add(get(i), i32(r)), get(aRow))))),
  ];
  const advance = (rows: number): Code => [
    set(pb, add(get(pb), get(bRow))),
    pa.slice(0, rows).map((pointer) => set(pointer, add(get(pointer), get(aColumn)))),
  ];
  /** Address of C's row `r` of the block. */
  const target = (r: number): Code => add(get(out), mul(i32(r), get(cRow)));

  const vectorBlock = (rows: number, vectors: number): Code => {
    const block = sums.slice(0, rows).map((line) => line.slice(0, vectors));
    return [
      start(rows),
      block.flat().map((sum) => set(sum, v128Zero)),
      loopBy(p, 1, get(k), [
        row.slice(0, vectors).map((value, v) => set(value, v128Load(get(pb), 16 * v))),
        block.map((line, r) =>
          line.map((sum, v) =>
            set(sum, multiplyAdd(v128LoadSplat(get(pa[r] as Local)), get(row[v] as Local), get(sum))),
          ),
        ),
        advance(rows),
      ]),
      block.map((line, r) => line.map((sum, v) => v128Store(target(r), get(sum), 16 * v))),
    ];
  };
  const scalarBlock = (rows: number): Code => [
    start(rows),
    scalars.slice(0, rows).map((sum) => set(sum, f32(0))),
    loopBy(p, 1, get(k), [
      scalars
        .slice(0, rows)
        .map((sum, r) => set(sum, f32Add(f32Mul(f32Load(get(pa[r] as Local)), f32Load(get(pb))), get(sum)))),
      advance(rows),
    ]),
    scalars.slice(0, rows).map((sum, r) => f32Store(target(r), get(sum))),
  ];
  const rowBlock = (rows: number): Code => [
    set(j, i32(0)),
    loopBy(j, 4 * BLOCK_VECTORS, get(m), vectorBlock(rows, BLOCK_VECTORS)),
    loopBy(j, 4, get(m), vectorBlock(rows, 1)),
    loopBy(j, 1, get(m), scalarBlock(rows)),
  ];
  const body: Code = [
    set(cRow, shiftLeft(get(m), 2)),
    set(i, i32(0)),
    loopBy(i, BLOCK_ROWS, get(n), rowBlock(BLOCK_ROWS)),
    loopBy(i, 1, get(n), rowBlock(1)),
  ];
  return { name: 'matmul', parameters: 9, locals: types, body };
}

function copyFunction(): WasmFunction {
  const [from, to, rows, columns, rowStride, columnStride] = [0, 1, 2, 3, 4, 5] as const;
  const { local, types } = localAllocator(6);
  const [i, j, source] = [local('i32'), local('i32'), local('i32')];
  const body = loopBy(i, 1, get(rows), [
    set(source, add(get(from), mul(get(i), get(rowStride)))),
    set(j, i32(0)),
    loopBy(j, 1, get(columns), [
      f32Store(get(to), f32Load(get(source))),
      set(source, add(get(source), get(columnStride))),
      set(to, add(get(to), i32(4))),
    ]),
  ]);
  return { name: 'copy', parameters: 6, locals: types, body };
}

/** The functions over a memory, with fused multiply-add where the engine has relaxed SIMD. */
export function instantiateNumeric(memory: WasmMemory): NumericFunctions {
  const compile = (multiplyAdd: MultiplyAdd) =>
    assemble([matmulFunction(multiplyAdd), copyFunction(), ...unaryFunctions]);
  const relaxed = compile(f32x4RelaxedMultiplyAdd);
  const bytes = webAssembly.validate(relaxed) ? relaxed : compile(twoStep);
  const { exports } = new webAssembly.Instance(new webAssembly.Module(bytes), { env: { memory } });
  return exports as NumericFunctions;
}
