import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { relativeError } from '../../graph/relative-error.ts';
import { readStrided, stridesOf } from '../../graph/value.ts';
import { startBackend } from '../backend.ts';
import { signed, unsigned } from './assembler.ts';

beforeAll(async () => {
  await startBackend('wasm');
});

function waves(count: number, pace: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * pace + pace));
}

describe('the matrix product', () => {
  // Around the edges of its blocks: 4 rows, 8 and 4 columns.
  const size = fc.integer({ min: 1, max: 19 });

  test('equals the sum of products, for any sizes and transposes', () => {
    fc.assert(
      fc.property(size, size, size, fc.boolean(), fc.boolean(), (n, k, m, transposeA, transposeB) => {
        const a = waves(n * k, 0.7);
        const b = waves(k * m, 1.3);
        const expected = Float64Array.from({ length: n * m }, (_, at) => {
          const [i, j] = [Math.floor(at / m), at % m];
          let sum = 0;
          for (let p = 0; p < k; p++)
            sum +=
              (a[transposeA ? p * n + i : i * k + p] as number) *
              (b[transposeB ? j * k + p : p * m + j] as number);
          return sum;
        });
        const product = tf.tidy(() =>
          tf
            .matMul(
              tf.tensor2d(a, transposeA ? [k, n] : [n, k]),
              tf.tensor2d(b, transposeB ? [m, k] : [k, m]),
              transposeA,
              transposeB,
            )
            .dataSync(),
        );
        const error = relativeError(product, expected);
        expect(error.relative, JSON.stringify(error)).toBeLessThan(1e-5);
      }),
    );
  });

  // tfjs's cpu kernel is no reference here: where both sides broadcast it leaves out half of the result.
  test.each([
    { a: [2, 3, 5, 4], b: [2, 3, 4, 6], batch: [2, 3] },
    { a: [2, 1, 5, 4], b: [3, 4, 6], batch: [2, 3] },
    { a: [1, 5, 4], b: [7, 4, 6], batch: [7] },
    { a: [4, 1, 5, 4], b: [1, 2, 4, 6], batch: [4, 2] },
  ])('repeats batches: $a x $b', ({ a, b, batch }) => {
    tf.tidy(() => {
      const size = (dims: readonly number[]) => dims.reduce((x, y) => x * y, 1);
      const [left, right] = [tf.tensor(waves(size(a), 0.7), a), tf.tensor(waves(size(b), 1.3), b)];
      const product = tf.matMul(left, right);
      const repeated = tf.matMul(
        tf.broadcastTo(left, [...batch, 5, 4]),
        tf.broadcastTo(right, [...batch, 4, 6]),
      );
      expect(product.shape).toEqual([...batch, 5, 6]);
      expect(product.dataSync()).toEqual(repeated.dataSync());
    });
  });
});

test('transposes of any rank move every element to its place', () => {
  const permutation = fc.integer({ min: 1, max: 6 }).chain((rank) =>
    fc.tuple(
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: rank, maxLength: rank }),
      fc.shuffledSubarray(
        Array.from({ length: rank }, (_, axis) => axis),
        { minLength: rank },
      ),
    ),
  );
  fc.assert(
    fc.property(permutation, fc.constantFrom('float32', 'int32', 'bool'), ([dims, order], dtype) => {
      const data = Float64Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) =>
        dtype === 'bool' ? i % 2 : i,
      );
      const strides = stridesOf(dims);
      const expected = readStrided(
        data,
        order.map((axis) => dims[axis] as number),
        order.map((axis) => strides[axis] as number),
      );
      const moved = tf.tidy(() => tf.transpose(tf.tensor(Array.from(data), dims, dtype), order).dataSync());
      expect(Array.from(moved)).toEqual(Array.from(expected));
    }),
  );
});

describe('elementary functions', () => {
  /** erf by its series; converges for the arguments tested. */
  function erf(x: number): number {
    let term = x;
    let sum = x;
    for (let n = 1; n < 200; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }

  // Any length, so that the part behind the last whole vector is used too; nothing behind the array is touched.
  const values = (limit: number) =>
    fc.array(fc.double({ min: -limit, max: limit, noNaN: true }), { minLength: 1, maxLength: 13 });

  test.each([
    { name: 'exp', run: tf.exp<tf.Tensor>, exact: Math.exp, limit: 80, relative: 3e-7, absolute: 1e-37 },
    // 1.5e-7 by the formula, the rest by rounding a tail that is nearly one.
    { name: 'erf', run: tf.erf<tf.Tensor>, exact: erf, limit: 4, relative: 0, absolute: 8e-7 },
    { name: 'tanh', run: tf.tanh<tf.Tensor>, exact: Math.tanh, limit: 20, relative: 0, absolute: 4e-7 },
  ])('$name', ({ run, exact, limit, relative, absolute }) => {
    fc.assert(
      fc.property(values(limit), (given) => {
        tf.tidy(() => {
          const guard = tf.tensor1d([7, 7, 7, 7]);
          const result = run(tf.tensor1d(given)).dataSync();
          given.forEach((x, i) => {
            const expected = exact(Math.fround(x));
            const error = Math.abs((result[i] as number) - expected);
            expect(error, `f(${x}) = ${result[i]}, not ${expected}`).toBeLessThanOrEqual(
              relative * Math.abs(expected) + absolute,
            );
          });
          expect([...guard.dataSync()]).toEqual([7, 7, 7, 7]);
        });
      }),
    );
  });

  test('have the right limits', () => {
    tf.tidy(() => {
      const edges = tf.tensor1d([-Infinity, Infinity, Number.NaN, -1000, 1000, 0]);
      expect([...tf.exp(edges).dataSync()]).toEqual([0, Infinity, Number.NaN, 0, Infinity, 1]);
      expect([...tf.tanh(edges).dataSync()]).toEqual([-1, 1, Number.NaN, -1, 1, 0]);
      expect(tf.erf(tf.tensor1d([-1000, 1000, Number.NaN])).dataSync()).toEqual(
        Float32Array.of(-1, 1, Number.NaN),
      );
    });
  });
});

test('a clone shares its data, and outlives what it was cloned from', () => {
  const { numDataBuffers } = tf.memory();
  const original = tf.tensor1d([1, 2, 3]);
  const copy = tf.clone(original);
  expect(tf.memory().numDataBuffers).toBe(numDataBuffers + 1);
  original.dispose();
  expect([...copy.dataSync()]).toEqual([1, 2, 3]);
  copy.dispose();
  expect(tf.memory().numDataBuffers).toBe(numDataBuffers);
});

test('starting the backend again does not stack its kernels', async () => {
  const before = tf.getKernel(tf.BatchMatMul, 'wasm').kernelFunc;
  await startBackend('wasm');
  expect(tf.getKernel(tf.BatchMatMul, 'wasm').kernelFunc).toBe(before);
});

describe('LEB128', () => {
  /** Decodes by the definition: seven bits a byte, lowest first. */
  function decode(bytes: readonly number[], isSigned: boolean): number {
    const value = bytes.reduce((sum, byte, i) => sum + BigInt(byte & 0x7f) * 128n ** BigInt(i), 0n);
    return Number(isSigned ? BigInt.asIntN(7 * bytes.length, value) : value);
  }

  test('round-trips 32-bit integers', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        expect(decode(signed(value), true)).toBe(value);
        expect(decode(unsigned(value >>> 0), false)).toBe(value >>> 0);
      }),
    );
  });
});
