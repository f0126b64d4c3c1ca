/** Trades positions for channels and back, as upsampling by pixel shuffle does: a reshape, a transpose, a reshape. */
import { intAttribute, stringAttribute } from '../graph.ts';
import { dimsOf, type Value } from '../value.ts';
import { always, type Evaluate, input, type OpCall, type OpTable } from './op.ts';
import { reshape, transposed } from './shape.ts';

/** [N, C·b·b, H, W] to [N, C, H·b, W·b]. */
const depthToSpace: Evaluate = (call) => {
  const { x, dims, block } = image(call);
  const [n, channels, height, width] = dims;
  const depth = channels / (block * block);
  const columnRow = stringAttribute(call.node, 'mode', 'DCR') === 'CRD';
  const split = columnRow
    ? { dims: [n, depth, block, block, height, width], order: [0, 1, 4, 2, 5, 3] }
    : { dims: [n, block, block, depth, height, width], order: [0, 3, 4, 1, 5, 2] };
  return reshape(transposed(reshape(x, split.dims), split.order), [n, depth, height * block, width * block]);
};

/** [N, C, H·b, W·b] to [N, b·b·C, H, W]. */
const spaceToDepth: Evaluate = (call) => {
  const { x, dims, block } = image(call);
  const [n, channels, height, width] = dims;
  const [rows, columns] = [height / block, width / block];
  const apart = reshape(x, [n, channels, rows, block, columns, block]);
  const columnRow = stringAttribute(call.node, 'mode', 'DCR') === 'CRD';
  const turned = transposed(apart, columnRow ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]);
  return reshape(turned, [n, channels * block * block, rows, columns]);
};

function image(call: OpCall): { x: Value; dims: [number, number, number, number]; block: number } {
  const x = input(call, 0);
  const dims = dimsOf(x) as unknown as [number, number, number, number];
  return { x, dims, block: intAttribute(call.node, 'blocksize', 1) };
}

export const blockOps: OpTable = {
  DepthToSpace: always(depthToSpace),
  SpaceToDepth: always(spaceToDepth),
};
