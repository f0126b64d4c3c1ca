/** Puts a finished path into the artifact's form: weights in path order, a graph without them, levels with what is theirs. */
import { create } from '@bufbuild/protobuf';
import { StringStringEntryProtoSchema, TensorProto_DataLocation } from 'onnx-buf';
import type { ArtifactSource, LevelMeasures } from '../../schema/artifact/write.ts';
import type { ManifestPair, ManifestTensor, Port } from '../../schema/manifest.ts';
import type { Datatype } from '../../schema/protocol.ts';
import type { Dtype, Graph, Tensor, ValueInfo } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { writeTensor } from '../graph/onnx-tensor.ts';
import { cutGraph } from '../pairs/cut.ts';
import type { Pair, PreparedModel } from '../pairs/pair.ts';
import { floatTensor } from '../weights/linear-weights.ts';

const datatypeOf: Readonly<Record<Dtype, Datatype>> = {
  float32: 'FP32',
  float64: 'FP64',
  int64: 'INT64',
  int32: 'INT32',
  uint8: 'UINT8',
  bool: 'BOOL',
};

export interface PathLevel extends LevelMeasures {
  /** The level's graph, cut in path order. */
  readonly cut: Graph;
}

/**
 * The parts of an artifact that follow from the graph, the order and the levels.
 * @param own by level, names of the tensors whose values may be its own; those that are what all share are not kept twice
 */
export function pathArtifact(
  model: PreparedModel,
  order: readonly (readonly number[])[],
  levels: readonly PathLevel[],
  own: readonly (readonly string[])[],
): Pick<ArtifactSource, 'graph' | 'weights' | 'levels'> &
  Pick<ArtifactSource['header'], 'pairs' | 'tensors' | 'shapeConstants' | 'inputs' | 'outputs'> {
  const ordered = cutGraph(model, order);
  const names = [...ordered.initializers]
    .filter(([, tensor]) => tensor.dtype === 'float32')
    .map(([name]) => name);
  const named = new Set(names);
  return {
    graph: emptied(ordered, named),
    // Of a large model, read and put into path order when the writer gets there.
    weights: {
      get: (name) => (named.has(name) ? floatTensor(ordered.initializers, name).data : undefined),
    },
    levels: levels.map(({ cut, ...measures }, level) => ({
      ...measures,
      own: differing(ordered, model, cut, measures.widths, own[level] ?? []),
    })),
    pairs: model.pairs.map(manifestPair),
    tensors: names.map((name) => manifestTensor(name, ordered, model.pairs)),
    shapeConstants: model.shapeConstants.map(({ tensor, index, pair, factor }) => ({
      tensor,
      index,
      pair,
      factor,
    })),
    inputs: model.graph.inputs.map(port),
    outputs: model.graph.outputs.map(port),
  };
}

/** Of the named tensors of a level, those that are not the first units of the whole model's. @param ordered the whole model */
function differing(
  ordered: Graph,
  { pairs, shapeConstants }: Pick<PreparedModel, 'pairs' | 'shapeConstants'>,
  cut: Graph,
  widths: readonly number[],
  names: readonly string[],
): Map<string, Float32Array> {
  const initializers = new Map(names.map((name) => [name, ordered.initializers.get(name) as Tensor]));
  const keep = widths.map((width) => Array.from({ length: width }, (_, unit) => unit));
  const shared = cutGraph({ graph: { ...ordered, initializers }, pairs, shapeConstants }, keep);
  const values = names.map((name): [string, Float32Array] => [
    name,
    floatTensor(cut.initializers, name).data,
  ]);
  return new Map(
    values.filter(([name, own]) => {
      const { data } = floatTensor(shared.initializers, name);
      return data.length !== own.length || own.some((value, i) => value !== data[i]);
    }),
  );
}

function manifestPair(pair: Pair): ManifestPair {
  const { name, kind, heads, kvHeads, units, flopsPerUnit, paramsPerUnit } = pair;
  return {
    name,
    kind,
    heads,
    ...(kvHeads === undefined ? {} : { kvHeads }),
    units,
    flopsPerUnit,
    paramsPerUnit,
  };
}

function manifestTensor(name: string, graph: Graph, pairs: readonly Pair[]): ManifestTensor {
  const unitAxes = pairs.flatMap((pair, p) =>
    pair.unitAxes
      .filter((axis) => axis.tensor === name)
      .map(({ axis, outer, inner }) => ({ axis, pair: p, outer, inner })),
  );
  return { name, dims: [...(graph.initializers.get(name)?.dims ?? [])], unitAxes };
}

function port(value: ValueInfo): Port {
  return {
    name: value.name,
    datatype: datatypeOf[value.dtype],
    shape: value.dims.map((dim) => (typeof dim === 'number' ? dim : -1)),
  };
}

/** graph.onnx: the named initializers keep name and type, and point at the weights instead of holding them. */
function emptied(graph: Graph, names: ReadonlySet<string>): Uint8Array {
  return writeOnnx(graph, {
    initializer(name, tensor) {
      if (!names.has(name)) return writeTensor(name, tensor);
      const { dtype, dims } = tensor;
      return {
        ...writeTensor(name, { dtype, dims, data: new Uint8Array(0) }),
        dataLocation: TensorProto_DataLocation.EXTERNAL,
        externalData: [create(StringStringEntryProtoSchema, { key: 'location', value: 'weights' })],
      };
    },
  });
}
