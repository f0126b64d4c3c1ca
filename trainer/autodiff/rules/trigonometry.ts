/** Trigonometric and hyperbolic functions and their inverses; sine and cosine stand with the elementwise rules. */
import type { Builder } from '../builder.ts';
import { mul, neg } from '../expressions.ts';
import { rulesOf, type VjpRule, type VjpTable } from '../rule.ts';

/** @param slope the derivative, of x and y */
const pointwise =
  (slope: (b: Builder, x: string, y: string) => string): VjpRule['vjp'] =>
  ({ build, dy, x: [x = ''], y }) => [() => mul(build, dy, slope(build, x, y))];

/** @param below what dy is divided by, of x */
const quotient =
  (below: (b: Builder, x: string) => string, sign: 1 | -1 = 1): VjpRule['vjp'] =>
  ({ build: b, dy, x: [x = ''] }) => [() => b.add('Div', [sign === 1 ? dy : neg(b, dy), below(b, x)])];

const onePlusSquare = (b: Builder, x: string) => b.add('Add', [mul(b, x, x), b.scalar(1)]);
const oneMinusSquare = (b: Builder, x: string) => b.add('Sub', [b.scalar(1), mul(b, x, x)]);
const squareMinusOne = (b: Builder, x: string) => b.add('Sub', [mul(b, x, x), b.scalar(1)]);
const root = (of: (b: Builder, x: string) => string) => (b: Builder, x: string) => b.add('Sqrt', [of(b, x)]);

export const trigonometryRules: VjpTable = rulesOf({
  Tan: pointwise((b, _, y) => onePlusSquare(b, y)),
  Sinh: pointwise((b, x) => b.add('Cosh', [x])),
  Cosh: pointwise((b, x) => b.add('Sinh', [x])),
  Asin: quotient(root(oneMinusSquare)),
  Acos: quotient(root(oneMinusSquare), -1),
  Atan: quotient(onePlusSquare),
  Asinh: quotient(root(onePlusSquare)),
  Acosh: quotient(root(squareMinusOne)),
  Atanh: quotient(oneMinusSquare),
});
