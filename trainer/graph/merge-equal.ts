/**
 * Lets equal matrices be one. Exporters write a matrix that layers share once for each layer when they have turned it round first;
 * seen as one, its units are cut alike, as the model's own code would.
 */
import { isDeferred } from './deferred.ts';
import { fingerprint, samplesOf } from './fingerprint.ts';
import { elementCount, type Graph, type Tensor } from './graph.ts';
import { rename, withoutDeadCode } from './rewrite.ts';

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

/** Zeros or ones are equal without being the same thing. Of what lies in a file, where it shows no second value at all. */
function isUniform(tensor: Tensor): boolean {
  const samples = samplesOf(tensor);
  if (samples.some((value) => value !== samples[0])) return false;
  return isDeferred(tensor) || tensor.data.every((value) => value === tensor.data[0]);
}

function equal(a: Tensor, b: Tensor): boolean {
  if (elementCount(a.dims) !== elementCount(b.dims)) return false;
  const [one, other] = [a.data, b.data];
  return one === other || one.every((value, i) => value === other[i]);
}
