/** Inputs that a convolution reads: files may leave all their axes open (optimum's do), though the weights say how many channels there are. */
import {
  consumers,
  type Graph,
  type GraphNode,
  intAttribute,
  intsAttribute,
  type ValueInfo,
} from '../graph/graph.ts';

export interface ImageInput {
  readonly channels: number;
  /** Of [batch, channels, height, width], rather than a sequence [batch, channels, length]. */
  readonly hasSides: boolean;
  /** Sides of the first convolution's patches. */
  readonly stride: number;
}

/** What changes pixels, but not where they are. */
const PIXELWISE = new Set(['Cast', 'Identity', 'Add', 'Sub', 'Mul', 'Div']);
/** Usual ones, tried last. */
const SIDES = [224, 384, 256, 336, 448, 512, 192, 128, 96, 64, 32];
/** Beyond, a table is none of positions. */
const LARGEST = 1024;
/** Positions beside the patches: class token, distillation token, registers. */
const MOST_EXTRA = 8;

/** @returns undefined for an input that no convolution with known weights reads */
export function imageOf(
  graph: Graph,
  readers: ReadonlyMap<string, readonly GraphNode[]>,
  { name, dims }: ValueInfo,
): ImageInput | undefined {
  if (dims.length < 3 || dims.every((dim) => typeof dim === 'number')) return undefined;
  const queue = [name];
  for (const value of queue) {
    for (const node of readers.get(value) ?? []) {
      const [input, weight = ''] = node.inputs;
      if (PIXELWISE.has(node.opType)) queue.push(...node.outputs);
      const within =
        node.opType === 'Conv' && input === value ? graph.initializers.get(weight)?.dims[1] : undefined;
      if (within === undefined) continue;
      const stride = intsAttribute(node, 'strides')?.[0] ?? 1;
      return { channels: within * intAttribute(node, 'group', 1), hasSides: dims.length === 4, stride };
    }
  }
  return undefined;
}

/** The graph with its images' open axes closed, for a model that takes one size of them only. */
export function withSides(graph: Graph, side: number): Graph {
  const readers = consumers(graph);
  const inputs = graph.inputs.map((input) => {
    const image = imageOf(graph, readers, input);
    if (!image?.hasSides) return input;
    const sizes = [undefined, image.channels, side, side];
    return {
      ...input,
      dims: input.dims.map((dim, axis) => (typeof dim === 'number' ? dim : (sizes[axis] ?? dim))),
    };
  });
  return { ...graph, inputs };
}

/**
 * Sides that images may have to have where the file leaves them open: those for which a table has as many positions as there are
 * patches, then usual ones. None where no image leaves them open.
 */
export function likelySides(graph: Graph): readonly number[] {
  const open = openImages(graph);
  if (open.length === 0) return [];
  const lengths = new Set(
    [...graph.initializers.values()].flatMap(({ dims }) => (dims.length > 1 ? (dims.at(-2) ?? []) : [])),
  );
  const ofTables = open.flatMap(({ stride }) =>
    [...lengths].flatMap((length) =>
      Array.from({ length: MOST_EXTRA + 1 }, (_, extra) => Math.sqrt(length - extra))
        .filter((patches) => Number.isInteger(patches) && patches > 1)
        .map((patches) => patches * stride)
        .filter((side) => side <= LARGEST),
    ),
  );
  return [...new Set([...ofTables, ...SIDES])];
}

export function hasOpenSides(graph: Graph): boolean {
  return openImages(graph).length > 0;
}

function openImages(graph: Graph): ImageInput[] {
  const readers = consumers(graph);
  return graph.inputs.flatMap((input) => {
    const isOpen = input.dims.slice(2).some((dim) => typeof dim === 'string');
    const image = isOpen ? imageOf(graph, readers, input) : undefined;
    return image?.hasSides ? [image] : [];
  });
}
