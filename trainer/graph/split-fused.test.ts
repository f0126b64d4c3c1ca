import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import type { Graph } from './graph.ts';
import { findLinears } from './linear.ts';
import { writeOnnx } from './onnx-file.ts';
import { prepareGraph } from './prepare.ts';
import { relativeError } from './relative-error.ts';

/** x [n, m, 8] through a fused linear of 24 outputs, then whatever is given. */
function fused(use: (b: GraphBuilder, value: string) => string): Graph {
  const b = new GraphBuilder();
  const x = b.input('x', ['n', 'm', 8]);
  return b.build({ y: [use(b, b.linear(x, b.weight(8, 24), b.weight(24))), ['a', 'b', 'c']] });
}

async function widths(graph: Graph): Promise<(number | undefined)[]> {
  const prepared = (await prepareGraph(graph, 'fused')).graph;
  const inputs = sampleInputs(graph, { batch: 3, length: 5 }, 9);
  const [before, after] = await Promise.all(
    [graph, prepared].map(async (candidate) => {
      const session = await createOrtSession(writeOnnx(candidate));
      const { y } = await session.run(inputs);
      await session.close();
      return y?.data ?? [];
    }),
  );
  expect(relativeError(after ?? [], before ?? []).relative).toBeLessThan(1e-5);
  return findLinears(prepared).map(({ weight, outAxis }) => prepared.initializers.get(weight)?.dims[outAxis]);
}

describe('fused linears', () => {
  test('three equal parts on an axis of their own, moved to the front', async () => {
    const graph = fused((b, value) => {
      const parts = b.op('Transpose', [b.op('Reshape', [value, b.ints(0, 0, 3, 4, 2)])], {
        perm: [2, 0, 3, 1, 4],
      });
      const pick = (i: number) => b.op('Squeeze', [b.slice(parts, 0, i, i + 1), b.ints(0)]);
      return b.op('Mul', [b.op('Sub', [pick(0), pick(1)]), pick(2)]);
    });
    expect(await widths(graph)).toEqual([8, 8, 8]);
  });

  test('parts inside each head, picked by Gather', async () => {
    const graph = fused((b, value) => {
      const parts = b.op('Reshape', [value, b.ints(0, 0, 4, 3, 2)]);
      const pick = (i: bigint) =>
        b.op('Gather', [parts, b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(i) })], {
          axis: 3,
        });
      return b.op('Mul', [b.op('Sub', [pick(0n), pick(1n)]), pick(2n)]);
    });
    expect(await widths(graph)).toEqual([8, 8, 8]);
  });

  test('unequal parts, one of them unused', async () => {
    const graph = fused((b, value) => {
      const [first = '', , last = ''] = b.ops('Split', [value, b.ints(10, 4, 10)], 3, { axis: -1 });
      return b.op('Mul', [first, last]);
    });
    expect(await widths(graph)).toEqual([10, 10]);
  });

  test('parts of parts', async () => {
    const graph = fused((b, value) => {
      const [left = '', right = ''] = b.ops('Split', [value, b.ints(8, 16)], 2, { axis: -1 });
      const [middle = '', last = ''] = b.ops('Split', [right, b.ints(8, 8)], 2, { axis: -1 });
      return b.op('Mul', [left, b.op('Sub', [middle, last])]);
    });
    expect(await widths(graph)).toEqual([8, 8, 8]);
  });

  test('halves that are joined again stay one linear: they are coupled', async () => {
    const graph = fused((b, value) =>
      b.op('Concat', [b.op('Neg', [b.slice(value, 2, 12, 24)]), b.slice(value, 2, 0, 12)], { axis: 2 }),
    );
    expect(await widths(graph)).toEqual([24]);
  });

  test('a linear that is also read whole, or in overlapping parts, stays', async () => {
    const whole = fused((b, value) =>
      b.op('Add', [value, b.op('Concat', [b.slice(value, 2, 0, 12), b.slice(value, 2, 0, 12)], { axis: 2 })]),
    );
    const overlapping = fused((b, value) =>
      b.op('Mul', [b.slice(value, 2, 0, 16), b.slice(value, 2, 8, 24)]),
    );
    expect(await widths(whole)).toEqual([24]);
    expect(await widths(overlapping)).toEqual([24]);
  });
});
