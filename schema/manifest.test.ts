import { describe, expect, test } from 'vitest';
import { type Manifest, type ManifestLevel, manifestSchema } from './manifest.ts';

const sha256 = '0'.repeat(64);
const file = (path: string) => ({ path, bytes: 1, sha256 });

const level = (index: number, widths: number[]): ManifestLevel => ({
  level: index,
  widths,
  params: 1,
  flops: 1,
  relativeFlops: 1,
  relativeParams: 1,
  sparsity: 0,
  bytes: 1,
  quality: { value: 1, low: 1, high: 1, metric: 'accuracy', samples: 1 },
  latency: [],
  chunk: `weights-0${index}.bin`,
  extents: [],
});

/** One pair of six units, which a matrix [3, 6] carries, at two levels. */
const sound: Manifest = {
  formatVersion: 1,
  model: { id: 'm', version: 'v1', sourceSha256: sha256 },
  createdAt: '2026-01-01T00:00:00.000Z',
  task: 'classification',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 3] }],
  preprocessing: {},
  graph: 'graph.onnx',
  pairs: [{ name: 'mlp', kind: 'sequential', heads: 1, units: 6, flopsPerUnit: 1, paramsPerUnit: 1 }],
  tensors: [{ name: 'w', dims: [3, 6], unitAxes: [{ axis: 1, pair: 0, outer: 1, inner: 1 }] }],
  shapeConstants: [{ tensor: 'shape', index: 0, pair: 0, factor: 1 }],
  levels: [level(0, [2]), level(1, [6])],
  files: ['graph.onnx', 'weights-00.bin', 'weights-01.bin'].map(file),
  search: {},
  seed: 0,
  dataSha256: sha256,
};

const axis = { axis: 1, pair: 0, outer: 1, inner: 1 };
const carrying = (over: object) => ({
  tensors: [{ name: 'w', dims: [3, 6], unitAxes: [{ ...axis, ...over }] }],
});

describe('a manifest', () => {
  test('is taken as it is written', () => {
    expect(manifestSchema.parse(sound)).toEqual(sound);
  });

  test.each<[string, object, string]>([
    ['whose graph is not a file of it', { graph: 'other.onnx' }, 'graph other.onnx is not among the files'],
    [
      'whose level needs a file that it does not list',
      { files: sound.files.slice(0, 2) },
      'level 1 needs weights-01.bin, which is not among the files',
    ],
    [
      'whose levels are out of order',
      { levels: [level(1, [2]), level(1, [6])] },
      'level 1 stands at place 0',
    ],
    ['without a width for each pair', { levels: [level(0, [])] }, 'level 0 has 0 widths for 1 pairs'],
    [
      'whose denser level keeps less',
      { levels: [level(0, [4]), level(1, [3])] },
      'level 1 keeps 3 of 6 units of pair 0, the level below 4',
    ],
    [
      'that keeps more than there is',
      { levels: [level(0, [7])] },
      'level 0 keeps 7 of 6 units of pair 0, the level below 0',
    ],
    ['whose tensor carries units of no pair', carrying({ pair: 1 }), 'tensor w names pair 1 of 1'],
    [
      'whose tensor has not the axis that is to carry units',
      carrying({ axis: 2 }),
      'axis 2 of tensor w [3,6] does not carry 1 x 6 x 1 units',
    ],
    [
      'whose tensor has another length there than its units take',
      carrying({ inner: 2 }),
      'axis 1 of tensor w [3,6] does not carry 1 x 6 x 2 units',
    ],
    [
      'whose shapes depend on no pair',
      { shapeConstants: [{ tensor: 'shape', index: 0, pair: 1, factor: 1 }] },
      'shape constant shape names pair 1 of 1',
    ],
  ])('%s is refused', (_, over, message) => {
    const parsed = manifestSchema.safeParse({ ...sound, ...over });
    expect(parsed.error?.issues.map((issue) => issue.message)).toEqual([message]);
  });
});
