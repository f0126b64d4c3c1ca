/**
 * Writes means and what is made of them as sums times a constant. A sum over units can be cut: what is cut out adds nothing, as if
 * it were masked with 0. The mean's divisor stays that of the whole model, so that cutting is exact.
 *
 *   LayerNormalization(x) = (x - m) / sqrt(v + epsilon) * scale + bias,   m = sum(x) / n,   v = sum((x - m)^2) / n
 *
 * It is slower than the one operator, so it is done only for those that run over a pair's units.
 */
import { elementCount, floatAttribute, intAttribute, intsAttribute } from '../graph.ts';
import { addSum, type PlainForm, type Site, scalar } from './plain-form.ts';

/** ONNX's default, for both normalisations. */
const EPSILON = 1e-5;

export const layerNormalisation: PlainForm = (site) => normalise(site, true);
export const rmsNormalisation: PlainForm = (site) => normalise(site, false);

function normalise(site: Site, centred: boolean): boolean {
  const { node } = site;
  const [input = '', scale = '', bias = ''] = node.inputs;
  const found = site.lengths(input);
  if (found === undefined || node.outputs.slice(1).some((name) => name !== '')) return false;
  const given = intAttribute(node, 'axis', -1);
  const axes = Array.from(found.keys()).slice(given < 0 ? given + found.length : given);
  const size = fixedProduct(found, axes);
  if (size === undefined) return false;
  const mean = (value: string) => site.add('Mul', [addSum(site, value, axes), site.keep(scalar(1 / size))]);
  const x = centred ? site.add('Sub', [input, mean(input)]) : input;
  const variance = mean(site.add('Mul', [x, x]));
  const epsilon = site.keep(scalar(floatAttribute(node, 'epsilon', EPSILON)));
  const deviation = site.add('Sqrt', [site.add('Add', [variance, epsilon])]);
  const normal: readonly [string, string] = [x, deviation];
  if (scale === '') return site.finish('Div', normal);
  const scaled: readonly [string, string] = [site.add('Div', normal), scale];
  if (bias === '') return site.finish('Mul', scaled);
  return site.finish('Add', [site.add('Mul', scaled), bias]);
}

/** x / ||x||. */
export const lpNormalisation: PlainForm = (site) => {
  const { node } = site;
  const [input = ''] = node.inputs;
  const p = intAttribute(node, 'p', 2);
  if (p !== 2) return false;
  const sum = addSum(site, site.add('Mul', [input, input]), [intAttribute(node, 'axis', -1)]);
  return site.finish('Div', [input, site.add('Sqrt', [sum])]);
};

export const mean: PlainForm = (site) => {
  const { node } = site;
  const [input = '', given = ''] = node.inputs;
  const found = site.lengths(input);
  const axes = intsAttribute(node, 'axes') ?? integersOf(site, given);
  if (found === undefined || axes === undefined || axes.length === 0) return false;
  const size = fixedProduct(
    found,
    axes.map((axis) => (axis < 0 ? axis + found.length : axis)),
  );
  if (size === undefined) return false;
  const kept = intAttribute(node, 'keepdims', 1) !== 0;
  const factor = site.keep(scalar(1 / size));
  return site.finish('Mul', [addSum(site, input, axes, kept), factor]);
};

function integersOf(site: Site, value: string): number[] | undefined {
  const tensor = site.constant(value);
  return tensor && Array.from(tensor.data as BigInt64Array, Number);
}

function fixedProduct(lengths: readonly (number | undefined)[], axes: readonly number[]): number | undefined {
  const found = axes.map((axis) => lengths[axis]);
  return found.every((length) => length !== undefined) ? elementCount(found) : undefined;
}
