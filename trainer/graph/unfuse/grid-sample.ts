/** GridSample in plain nodes: a sum over the pixels around each point, as deformable attention looks values up. */
import { intAttribute, stringAttribute } from '../graph.ts';
import type { NodeBuilder, Unfold } from './node-builder.ts';

/** One axis of the points, in pixels, [N, P], and its length. */
interface Along {
  readonly at: string;
  /** int64 scalar. */
  readonly length: string;
}

/** A pixel on each side, [N, P]: where it is, and how much it counts. */
interface Side {
  readonly place: string;
  readonly weight: string;
}

/** Images [N, C, H, W] at points [N, h, w, 2] in -1 to 1, linear or nearest; cubic and reflecting ones stay. */
export const gridSample: Unfold = (b) => {
  const [image = '', grid = ''] = b.node.inputs;
  const mode = stringAttribute(b.node, 'mode', 'linear');
  const padding = stringAttribute(b.node, 'padding_mode', 'zeros');
  const linear = mode === 'linear' || mode === 'bilinear';
  if (b.rank(image) !== 4 || (!linear && mode !== 'nearest')) return undefined;
  if (padding !== 'zeros' && padding !== 'border') return undefined;
  const points = b.op('Reshape', [grid, b.constant(shapeOf(0, -1, 2))]); // [N, P, 2]
  const along = (axis: number, coordinate: number): Along => {
    const length = b.length(image, axis);
    const given = b.squeeze(b.slice(points, 2, coordinate, coordinate + 1), [2]);
    const inPixels = pixels(b, given, b.cast(length, 'float32'));
    const last = b.op('Sub', [b.cast(length, 'float32'), b.scalar(1)]);
    const within = () => b.op('Max', [b.op('Min', [inPixels, last]), b.scalar(0)]);
    return { at: padding === 'border' ? within() : inPixels, length };
  };
  const [x, y] = [along(3, 0), along(2, 1)];
  const sides = ({ at, length }: Along) => (linear ? linearSides(b, at, length) : [nearest(b, at, length)]);
  const flat = b.reshape(image, [0, 0, -1]); // [N, C, H·W]
  const channels = b.fixed(image, 1);
  if (channels === undefined) return undefined;
  const terms = sides(y).flatMap((row) =>
    sides(x).map((column) => {
      const place = b.op('Add', [b.op('Mul', [row.place, x.length]), column.place]);
      const indices = b.op('Expand', [b.unsqueeze(place, [1]), b.constant(shapeOf(1, channels, 1))]);
      const picked = b.op('GatherElements', [flat, indices], { axis: { kind: 'int', value: 2 } });
      return b.op('Mul', [picked, b.unsqueeze(b.op('Mul', [row.weight, column.weight]), [1])]);
    }),
  );
  const [first = '', ...rest] = terms;
  const sum = rest.reduce((total, term) => b.op('Add', [total, term]), first); // [N, C, P]
  const sizes = b.slice(b.op('Shape', [grid]), 0, 1, 3);
  const start = b.constant(shapeOf(0, 0));
  return [b.op('Reshape', [sum, b.concat([start, sizes], 0)])];
};

function shapeOf(...sizes: number[]) {
  return { dtype: 'int64', dims: [sizes.length], data: BigInt64Array.from(sizes, BigInt) } as const;
}

/** -1 and 1 are the middles of the outer pixels, or their outer edges. */
function pixels(b: NodeBuilder, given: string, length: string): string {
  const moved = b.op('Add', [given, b.scalar(1)]);
  if (intAttribute(b.node, 'align_corners', 0) === 1)
    return b.op('Mul', [b.op('Mul', [moved, b.scalar(0.5)]), b.op('Sub', [length, b.scalar(1)])]);
  return b.op('Mul', [b.op('Sub', [b.op('Mul', [moved, length]), b.scalar(1)]), b.scalar(0.5)]);
}

function linearSides(b: NodeBuilder, at: string, length: string): Side[] {
  const before = b.op('Floor', [at]);
  const share = b.op('Sub', [at, before]);
  const behind = b.op('Add', [before, b.scalar(1)]);
  return [side(b, before, b.op('Sub', [b.scalar(1), share]), length), side(b, behind, share, length)];
}

function nearest(b: NodeBuilder, at: string, length: string): Side {
  const place = b.op('Round', [at]);
  return side(b, place, b.op('Add', [b.op('Mul', [place, b.scalar(0)]), b.scalar(1)]), length);
}

/** Pixels beyond the image count for nothing, and are looked up at its edge. */
function side(b: NodeBuilder, place: string, weight: string, length: string): Side {
  const whole = b.cast(place, 'int64');
  const last = b.op('Sub', [length, b.integer(1)]);
  const within = b.op('Max', [b.op('Min', [whole, last]), b.integer(0)]);
  const isInside = b.cast(b.op('Equal', [within, whole]), 'float32');
  return { place: within, weight: b.op('Mul', [weight, isInside]) };
}
