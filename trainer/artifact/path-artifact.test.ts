import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { cutGraph } from '../pairs/cut.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { floatTensor } from '../weights/linear-weights.ts';
import { type PathLevel, pathArtifact } from './path-artifact.ts';

test('a level owns what differs from the first units of what all share, and nothing else', async () => {
  const file = new URL('../../examples/digits/digits.onnx', import.meta.url);
  const model = await prepareModel(await readFile(file), 'digits');
  // Backwards, so that path order is not the order in the file.
  const order = model.pairs.map(({ units }) => Array.from({ length: units }, (_, unit) => units - 1 - unit));
  const [changed, same] = model.pairs.flatMap(({ consumers }) =>
    consumers.map(({ weight }) => weight.tensor),
  ) as [string, string];
  const level = (share: number): PathLevel => {
    const widths = model.pairs.map(({ units }) => Math.ceil(share * units));
    const cut = cutGraph(
      model,
      order.map((units, p) => units.slice(0, widths[p])),
    );
    return { cut, widths, params: 1, flops: 1, relativeFlops: share, relativeParams: share } as PathLevel;
  };
  const [sparse, dense] = [level(0.5), level(1)];
  const values = floatTensor(sparse.cut.initializers, changed);
  const initializers = new Map(sparse.cut.initializers).set(changed, {
    ...values,
    data: values.data.map((value, i) => (i === values.data.length - 1 ? value + 1 : value)),
  });
  const own = [changed, same];
  const { levels } = pathArtifact(
    model,
    order,
    [{ ...sparse, cut: { ...sparse.cut, initializers } }, dense],
    [own, own],
  );
  expect(levels.map((each) => [...each.own.keys()])).toEqual([[changed], []]);
});
