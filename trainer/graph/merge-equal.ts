/**
 * Lets equal matrices be one. Exporters write a matrix that layers share once for each layer when they have turned it round first;
 * seen as one, its units are cut alike, as the model's own code would.
 */
import type { Graph, Tensor } from './graph.ts';
import { rename, withoutDeadCode } from './rewrite.ts';

/** Elements by which candidates are told apart before they are compared whole. */
const SAMPLES = 16;

export function mergeEqualMatrices(graph: Graph): Graph {
  const known = new Map<string, { name: string; tensor: Tensor }[]>();
  const names = new Map<string, string>();
  for (const [name, tensor] of graph.initializers) {
    if (tensor.dtype !== 'float32' || tensor.dims.length < 2 || isUniform(tensor)) continue;
    const key = fingerprint(tensor);
    const alike = known.get(key) ?? [];
    const same = alike.find((other) => equal(other.tensor, tensor));
    if (same) names.set(name, same.name);
    else known.set(key, [...alike, { name, tensor }]);
  }
  for (const { name } of graph.outputs) names.delete(name);
  return names.size === 0 ? graph : withoutDeadCode({ ...graph, nodes: rename(graph.nodes, names) });
}

/** Zeros or ones are equal without being the same thing. */
function isUniform({ data }: Tensor): boolean {
  return data.every((value) => value === data[0]);
}

function fingerprint({ dims, data }: Tensor): string {
  const step = Math.max(1, Math.floor(data.length / SAMPLES));
  const samples = Array.from({ length: SAMPLES }, (_, i) => data[i * step]);
  return `${dims} ${samples}`;
}

function equal(a: Tensor, b: Tensor): boolean {
  return (
    a.data === b.data || (a.data.length === b.data.length && a.data.every((value, i) => value === b.data[i]))
  );
}
