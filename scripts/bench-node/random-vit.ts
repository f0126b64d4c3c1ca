/**
 * A vision transformer of any size with random weights, as a path artifact: for measuring memory, time and load, where
 * what the weights say does not matter. No search is run, units stand in the order they come in; the qualities of its
 * levels are made up, by `madeUpQuality`.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { encodeTensor } from '../../schema/artifact/layout.ts';
import { type ArtifactSource, writeArtifact } from '../../schema/artifact/write.ts';
import type { Manifest, ManifestTensor } from '../../schema/manifest.ts';

export interface VitSize {
  readonly image: number;
  readonly channels: number;
  readonly patch: number;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  readonly classes: number;
}

export const vitSizes = {
  /** DeiT-Base: 86 million parameters, 197 tokens. */
  base: { image: 224, channels: 3, patch: 16, width: 768, heads: 12, layers: 12, classes: 1000 },
  /** DeiT-Tiny: 5.7 million parameters, 197 tokens. */
  tiny: { image: 224, channels: 3, patch: 16, width: 192, heads: 3, layers: 12, classes: 1000 },
  /** DeiT-Tiny's layers on 32x32 images: 65 tokens. */
  small32: { image: 32, channels: 3, patch: 4, width: 192, heads: 3, layers: 6, classes: 10 },
} as const satisfies Record<string, VitSize>;

export interface RandomVitOptions {
  readonly id: string;
  readonly size: VitSize;
  /** Shares of the units that levels keep, ascending, the last 1. */
  readonly shares: readonly number[];
  /** Whether each level owns its output matrices, as compensated levels do; else all share one set. */
  readonly own: boolean;
  /** So many of the sparsest levels own all of their weights, as jointly recovered levels do; none when absent. */
  readonly apart?: number;
}

/** Shares from `from` to 1, evenly. */
export function evenShares(levels: number, from: number): number[] {
  return Array.from({ length: levels }, (_, k) =>
    levels === 1 ? 1 : 1 - ((1 - from) * (levels - 1 - k)) / (levels - 1),
  );
}

/** Saturating, as paths are: 0.9 at a fifth of the units, 0.98 for all. */
export function madeUpQuality(share: number): number {
  return 0.98 - 0.08 * ((1 - share) / 0.8) ** 2;
}

const FLOAT = 1;
const INT64 = 7;

export function writeRandomVit(directory: string, options: RandomVitOptions): Promise<Manifest> {
  const { id, size, shares, own, apart = 0 } = options;
  const { width: c, heads, layers } = size;
  const tokens = (size.image / size.patch) ** 2 + 1;
  const [headUnits, mlpUnits] = [c / heads, 4 * c];
  const graph = vitGraph(size, tokens);
  const widthsOf = (share: number) =>
    Array.from({ length: layers }, () => [headUnits, headUnits, mlpUnits])
      .flat()
      .map((units) => Math.max(1, Math.round(units * share)));
  const flopsPerUnit = [4 * tokens * c * heads, 4 * tokens * c * heads, 4 * tokens * c];
  const flops = (share: number) =>
    widthsOf(share).reduce((sum, width, pair) => sum + width * (flopsPerUnit[pair % 3] ?? 0), 0);
  const random = normals();
  const weights = new Map(graph.tensors.map((tensor) => [tensor.name, random(tensor)]));
  const nested = new Map([...weights].filter(([name]) => !(own && isOutput(name))));
  const params = graph.tensors.reduce((sum, { dims }) => sum + dims.reduce((a, b) => a * b, 1), 0);
  return writeArtifact(directory, {
    header: {
      model: { id, version: 'v1', sourceSha256: '0'.repeat(64) },
      createdAt: '2026-01-01T00:00:00Z',
      task: 'classification',
      inputs: [
        { name: 'pixel_values', datatype: 'FP32', shape: [-1, size.channels, size.image, size.image] },
      ],
      outputs: [{ name: 'logits', datatype: 'FP32', shape: [-1, size.classes] }],
      preprocessing: {},
      pairs: Array.from({ length: layers }, (_, l) => [
        pair(`layer${l}.query-key`, 'query-key', heads, headUnits, flopsPerUnit[0] ?? 0, 2 * (c + 1) * heads),
        pair(
          `layer${l}.value-projection`,
          'value-projection',
          heads,
          headUnits,
          flopsPerUnit[1] ?? 0,
          (2 * c + 1) * heads,
        ),
        pair(`layer${l}.mlp`, 'sequential', 1, mlpUnits, flopsPerUnit[2] ?? 0, 2 * c + 1),
      ]).flat(),
      tensors: graph.tensors,
      shapeConstants: graph.shapeConstants,
      search: { order: 'none' },
      seed: 1,
      dataSha256: '0'.repeat(64),
    },
    graph: graph.bytes,
    weights: nested,
    levels: shares.map((share, level) => ({
      widths: widthsOf(share),
      params: Math.round(params * share),
      flops: flops(share),
      relativeFlops: flops(share) / flops(1),
      relativeParams: share,
      sparsity: 1 - flops(share) / flops(1),
      quality: { metric: 'made up', value: madeUpQuality(share), low: 0, high: 1, samples: 1 },
      latency: [],
      own: new Map(
        graph.tensors
          .filter(({ name }) => level < apart || (own && isOutput(name)))
          .map((tensor) => {
            const widths = [widthsOf(share), widthsOf(1)];
            const [values] = encodeTensor(tensor, widths, weights.get(tensor.name)!);
            return [tensor.name, values as Float32Array];
          }),
      ),
    })),
  });
}

const isOutput = (name: string) => /\.(?:proj|fc2)\.weight$/.test(name);

function pair(
  name: string,
  kind: Manifest['pairs'][number]['kind'],
  heads: number,
  units: number,
  flopsPerUnit: number,
  paramsPerUnit: number,
): Manifest['pairs'][number] {
  return { name, kind, heads, units, flopsPerUnit, paramsPerUnit };
}

/** Sums of uniform numbers: near enough to normal, and quick. Weights are scaled so that activations stay near 1. */
function normals(): (tensor: ManifestTensor) => Float32Array {
  const generator = xoroshiro128plus(1);
  return ({ name, dims }) => {
    const data = new Float32Array(dims.reduce((a, b) => a * b, 1));
    if (name.endsWith('.scale')) return data.fill(1);
    if (dims.length === 1) return data;
    const scale = 1 / Math.sqrt(dims.length === 4 ? data.length / (dims[0] ?? 1) : (dims[0] ?? 1));
    for (let i = 0; i < data.length; i++) {
      const bits = generator.next();
      data[i] = (((bits & 0xffff) + (bits >>> 16)) / 65_536 - 1) * 2.4 * scale;
    }
    return data;
  };
}

interface VitGraph {
  readonly bytes: Uint8Array;
  readonly tensors: ManifestTensor[];
  readonly shapeConstants: ArtifactSource['header']['shapeConstants'];
}

/** The graph as exporters give it: projections are MatMul with weights [in, out], then Add. */
function vitGraph(size: VitSize, tokens: number): VitGraph {
  const { width: c, heads, layers } = size;
  const d = c / heads;
  const tensors: ManifestTensor[] = [];
  const shapeConstants: VitGraph['shapeConstants'][number][] = [];
  const constants: { name: string; dims: bigint[]; dataType: number; rawData: Uint8Array }[] = [];
  const nodes: object[] = [];
  const weight = (name: string, dims: number[], axis?: number, of = 0, outer = 1) => {
    tensors.push({ name, dims, unitAxes: axis === undefined ? [] : [{ axis, pair: of, outer, inner: 1 }] });
    return name;
  };
  const ints = (name: string, values: readonly number[]) => {
    const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    constants.push({ name, dims: [BigInt(values.length)], dataType: INT64, rawData });
    return name;
  };
  const node = (opType: string, input: string[], attributes: Record<string, number | number[]> = {}) => {
    const output = `v${nodes.length}`;
    const attribute = Object.entries(attributes).map(([name, value]) =>
      typeof value === 'number'
        ? { name, type: 2, i: BigInt(value) }
        : { name, type: 7, ints: value.map(BigInt) },
    );
    nodes.push({ name: output, opType, input, output: [output], attribute });
    return output;
  };
  const linear = (x: string, name: string, dims: number[], axis: number, of: number, outer: number) => {
    const bias =
      axis === 1
        ? weight(`${name}.bias`, [dims[1] ?? 0], 0, of, outer)
        : weight(`${name}.bias`, [dims[1] ?? 0]);
    return node('Add', [node('MatMul', [x, weight(`${name}.weight`, dims, axis, of, outer)]), bias]);
  };
  const norm = (x: string, name: string) =>
    node('LayerNormalization', [x, weight(`${name}.scale`, [c]), weight(`${name}.bias`, [c])], { axis: -1 });

  const { patch, channels } = size;
  const patches = node(
    'Conv',
    ['pixel_values', weight('embed.weight', [c, channels, patch, patch]), weight('embed.bias', [c])],
    { kernel_shape: [patch, patch], strides: [patch, patch] },
  );
  const flat = node('Transpose', [node('Reshape', [patches, ints('flat', [0, c, tokens - 1])])], {
    perm: [0, 2, 1],
  });
  const cls = node('Expand', [
    weight('cls', [1, 1, c]),
    node('Concat', [node('Shape', ['pixel_values'], { start: 0, end: 1 }), ints('one', [1, 1])], { axis: 0 }),
  ]);
  let x = node('Add', [node('Concat', [cls, flat], { axis: 1 }), weight('position', [1, tokens, c])]);
  for (let l = 0; l < layers; l++) {
    const [qk, vo, mlp] = [3 * l, 3 * l + 1, 3 * l + 2];
    const h = norm(x, `l${l}.norm1`);
    const split = (name: string, of: number, perm: number[]) => {
      const shape = ints(`l${l}.${name}.shape`, [0, tokens, heads, d]);
      shapeConstants.push({ tensor: shape, index: 3, pair: of, factor: 1 });
      const projected = linear(h, `l${l}.${name}`, [c, c], 1, of, heads);
      return node('Transpose', [node('Reshape', [projected, shape])], { perm });
    };
    const [q, k, v] = [
      split('q', qk, [0, 2, 1, 3]),
      split('k', qk, [0, 2, 3, 1]),
      split('v', vo, [0, 2, 1, 3]),
    ];
    const scores = node('Softmax', [node('Mul', [node('MatMul', [q, k]), 'scale'])], { axis: -1 });
    const merged = ints(`l${l}.merged`, [0, tokens, c]);
    shapeConstants.push({ tensor: merged, index: 2, pair: vo, factor: heads });
    const mixed = node('Transpose', [node('MatMul', [scores, v])], { perm: [0, 2, 1, 3] });
    const attended = linear(node('Reshape', [mixed, merged]), `l${l}.proj`, [c, c], 0, vo, heads);
    x = node('Add', [x, attended]);
    const hidden = linear(norm(x, `l${l}.norm2`), `l${l}.fc1`, [c, 4 * c], 1, mlp, 1);
    x = node('Add', [x, linear(node('Gelu', [hidden]), `l${l}.fc2`, [4 * c, c], 0, mlp, 1)]);
  }
  const last = node('Gather', [norm(x, 'norm'), 'zero'], { axis: 1 });
  const logits = node('Add', [
    node('MatMul', [last, weight('head.weight', [c, size.classes])]),
    weight('head.bias', [size.classes]),
  ]);
  nodes.push({ opType: 'Identity', input: [logits], output: ['logits'], attribute: [] });

  const scalar = (name: string, dataType: number, bytes: ArrayBuffer) => ({
    name,
    dims: [],
    dataType,
    rawData: new Uint8Array(bytes),
  });
  const info = (name: string, dims: readonly (number | string)[]) => ({
    name,
    type: {
      value: {
        case: 'tensorType' as const,
        value: {
          elemType: FLOAT,
          shape: {
            dim: dims.map((dim) => ({
              value:
                typeof dim === 'string'
                  ? { case: 'dimParam' as const, value: dim }
                  : { case: 'dimValue' as const, value: BigInt(dim) },
            })),
          },
        },
      },
    },
  });
  const model = create(ModelProtoSchema, {
    irVersion: 9n,
    opsetImport: [{ domain: '', version: 20n }],
    graph: {
      name: 'vit',
      node: nodes,
      initializer: [
        ...tensors.map(({ name, dims }) => ({ name, dims: dims.map(BigInt), dataType: FLOAT })),
        ...constants,
        scalar('scale', FLOAT, Float32Array.of(d ** -0.5).buffer),
        scalar('zero', INT64, BigInt64Array.of(0n).buffer),
      ],
      input: [info('pixel_values', ['N', channels, size.image, size.image])],
      output: [info('logits', ['N', size.classes])],
    },
  });
  return { bytes: toBinary(ModelProtoSchema, model), tensors, shapeConstants };
}
