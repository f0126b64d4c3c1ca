/** A vision transformer of any size with random weights, as exporters write one: for measuring how steps grow with its shape. */
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { elementCount, type Graph, type GraphNode, type Tensor } from '../../trainer/graph/graph.ts';
import { draftOf, int64 } from '../../trainer/graph/rewrite.ts';

export interface VitShape {
  readonly width: number;
  readonly heads: number;
  readonly depth: number;
  /** Side of the image in patches: side * side + 1 tokens. */
  readonly side: number;
  readonly classes: number;
}

/** Side of a patch in pixels, and an image's channels. */
const [PATCH, CHANNELS] = [16, 3];

/** @returns input `x` [N, 3, 16 side, 16 side], output `logits` [N, classes] */
export function randomVit({ width, heads, depth, side, classes }: VitShape): Graph {
  const size = PATCH * side;
  const tokens = side * side + 1;
  const empty: Graph = {
    name: 'vit',
    irVersion: 9,
    opsets: { '': 20 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['N', CHANNELS, size, size] }],
    outputs: [{ name: 'logits', dtype: 'float32', dims: ['N', classes] }],
    initializers: new Map(),
    nodes: [],
  };
  const draft = draftOf(empty);
  const random = xoroshiro128plus(1);
  const uniform = () => (random.next() >>> 0) / 2 ** 31 - 1;
  /** Scaled so that activations stay near 1. */
  const matrix = (name: string, dims: readonly number[], inputs: number) => {
    const scale = Math.sqrt(3 / inputs);
    const data = Float32Array.from({ length: elementCount(dims) }, () => scale * uniform());
    return draft.constant(name, { dtype: 'float32', dims, data });
  };
  const vector = (name: string, value: number, length = width) => {
    const data = new Float32Array(length).fill(value);
    return draft.constant(name, { dtype: 'float32', dims: [length], data });
  };
  const scalar = (name: string, value: number) =>
    draft.constant(name, { dtype: 'float32', dims: [], data: Float32Array.of(value) } satisfies Tensor);
  const int = (value: number) => ({ kind: 'int', value }) as const;
  const ints = (...value: number[]) => ({ kind: 'ints', value }) as const;
  const linear = (x: string, name: string, from: number, to: number) => {
    const product = draft.add('MatMul', [x, matrix(`${name}.weight`, [from, to], from)], `${name}.product`);
    return draft.add('Add', [product, vector(`${name}.bias`, 0, to)], name);
  };
  const norm = (x: string, name: string) =>
    draft.add('LayerNormalization', [x, vector(`${name}.scale`, 1), vector(`${name}.shift`, 0)], name, {
      axis: int(-1),
    });
  const shaped = (x: string, name: string, ...shape: number[]) =>
    draft.add('Reshape', [x, draft.constant(`${name}.shape`, int64(shape))], name);
  const turned = (x: string, name: string, ...perm: number[]) =>
    draft.add('Transpose', [x], name, { perm: ints(...perm) });

  const kernel = matrix('patch.weight', [width, CHANNELS, PATCH, PATCH], CHANNELS * PATCH * PATCH);
  const patches = draft.add('Conv', ['x', kernel, vector('patch.bias', 0)], 'patches', {
    kernel_shape: ints(PATCH, PATCH),
    strides: ints(PATCH, PATCH),
  });
  const rows = turned(shaped(patches, 'flat', 0, width, tokens - 1), 'rows', 0, 2, 1);
  const examples = draft.add('Shape', ['x'], 'examples', { start: int(0), end: int(1) });
  const ones = draft.constant('class.ones', int64([1, 1]));
  const shape = draft.add('Concat', [examples, ones], 'class.shape', { axis: int(0) });
  const token = draft.add('Expand', [matrix('class.token', [1, 1, width], 1), shape], 'class.tokens');
  const joined = draft.add('Concat', [token, rows], 'joined', { axis: int(1) });
  let x = draft.add('Add', [joined, matrix('positions', [1, tokens, width], 1)], 'embedded');
  for (let block = 0; block < depth; block++) {
    const name = (part: string) => `block${block}.${part}`;
    const h = norm(x, name('norm1'));
    const split = (part: string, ...perm: number[]) =>
      turned(
        shaped(linear(h, name(part), width, width), name(`${part}.heads`), 0, tokens, heads, width / heads),
        name(`${part}.turned`),
        ...perm,
      );
    const scores = draft.add('MatMul', [split('q', 0, 2, 1, 3), split('k', 0, 2, 3, 1)], name('scores'));
    const scaled = draft.add('Mul', [scores, scalar(name('scale'), (width / heads) ** -0.5)], name('scaled'));
    const attention = draft.add('Softmax', [scaled], name('attention'), { axis: int(-1) });
    const mixed = draft.add('MatMul', [attention, split('v', 0, 2, 1, 3)], name('mixed'));
    const merged = shaped(turned(mixed, name('back'), 0, 2, 1, 3), name('merged'), 0, tokens, width);
    x = draft.add('Add', [x, linear(merged, name('projection'), width, width)], name('attended'));
    const hidden = linear(norm(x, name('norm2')), name('fc1'), width, 4 * width);
    const active = draft.add('Gelu', [hidden], name('active'));
    x = draft.add('Add', [x, linear(active, name('fc2'), 4 * width, width)], name('out'));
  }
  const first = draft.constant('first', int64(0));
  const last = draft.add('Gather', [norm(x, 'norm'), first], 'last', { axis: int(1) });
  const answer = linear(last, 'head', width, classes);
  const output: GraphNode = {
    name: 'answer',
    opType: 'Identity',
    domain: '',
    inputs: [answer],
    outputs: ['logits'],
    attributes: {},
  };
  return { ...empty, initializers: draft.initializers, nodes: [...draft.nodes, output] };
}
