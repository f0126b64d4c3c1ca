/** Which of ONNX's cases are not ours to pass, and why: the first reason that holds. What remains is applicable, and must pass. */
import { TensorProto_DataType as Type } from 'onnx-buf';
import { isSupported } from '../ops/index.ts';
import type { ConformanceCase } from './case-files.ts';

const READ: readonly number[] = [
  Type.FLOAT,
  Type.DOUBLE,
  Type.FLOAT16,
  Type.BFLOAT16,
  Type.INT64,
  Type.INT32,
  Type.UINT8,
  Type.BOOL,
];
const OTHER_INTEGERS: readonly number[] = [Type.INT8, Type.INT16, Type.UINT16, Type.UINT32, Type.UINT64];
/** In attributes of these names the number is an element type. */
const TYPE_ATTRIBUTES: readonly string[] = ['to', 'dtype', 'stash_type', 'softmax_precision'];
/** The file reader's lower limit. */
const OLDEST_OPSET = 7;

type Rule = (one: ConformanceCase) => boolean;

const nodesOf = ({ model }: ConformanceCase) => model.graph?.node ?? [];

/** Every element type that the case names, in values, constants and attributes. */
function elementTypes({ model, data }: ConformanceCase): number[] {
  const infos = [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])];
  const declared = infos.flatMap(({ type }) =>
    type?.value.case === 'tensorType' ? [type.value.value.elemType] : [],
  );
  const attributes = (model.graph?.node ?? []).flatMap((node) =>
    node.attribute.flatMap((attribute) => {
      if (attribute.t) return [attribute.t.dataType];
      return TYPE_ATTRIBUTES.includes(attribute.name) ? [Number(attribute.i)] : [];
    }),
  );
  const fed = [...(data?.inputs ?? []), ...(data?.outputs ?? [])].map(({ dataType }) => dataType);
  return [...declared, ...attributes, ...fed];
}

const uses =
  (types: readonly number[]): Rule =>
  (one) =>
    elementTypes(one).some((type) => types.includes(type));

const isPlain: Rule = ({ model, data }) =>
  data !== undefined &&
  [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])].every(
    ({ type }) => type?.value.case === 'tensorType',
  );

const opTypeMatches =
  (pattern: RegExp): Rule =>
  (one) =>
    nodesOf(one).some(({ opType }) => pattern.test(opType));

const trains: Rule = (one) =>
  nodesOf(one).some(
    ({ opType, input, attribute }) =>
      (opType === 'Dropout' && (input[2] ?? '') !== '') ||
      attribute.some(({ name, i }) => name === 'training_mode' && i !== 0n),
  );

/** Cases whose expected outputs a release had wrong; the next ones hold the mended cases. */
const MENDED_LATER: readonly string[] = [
  '1.15.0 test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True',
];

/** The reason of cases whose operators the table lacks. */
export const OUTSIDE = 'operators outside the table';

const rules: Readonly<Record<string, Rule>> = {
  strings: uses([Type.STRING]),
  'sequences, maps and optionals': (one) => !isPlain(one),
  'control flow (subgraphs)': (one) =>
    nodesOf(one).some(({ attribute }) => attribute.some(({ g, graphs }) => g || graphs.length > 0)),
  'training mode and gradients': (one) =>
    trains(one) || nodesOf(one).some(({ domain }) => domain.includes('training')),
  'random numbers': opTypeMatches(/^(Random|Bernoulli|Multinomial)/),
  'quantised operators': opTypeMatches(/Quantize|QLinear|Integer$/),
  'classical machine learning (ai.onnx.ml)': (one) =>
    nodesOf(one).some(({ domain }) => domain === 'ai.onnx.ml'),
  'int8, int16, uint16, uint32, uint64': uses(OTHER_INTEGERS),
  'floats below half precision, 4-bit integers, complex': (one) =>
    elementTypes(one).some((type) => type !== Type.UNDEFINED && !READ.includes(type)),
  'opsets before 7': ({ model }) =>
    model.opsetImport.some(({ domain, version }) => domain === '' && version < OLDEST_OPSET),
  'constants alone (a model without inputs is no model)': (one) =>
    nodesOf(one).every(({ opType }) => opType === 'Constant'),
  'expected outputs mended in a later release': ({ release, name }) =>
    MENDED_LATER.includes(`${release} ${name}`),
  [OUTSIDE]: (one) => missingOps(one).length > 0,
};

/** Why the case does not apply, if it does not. */
export function exclusionOf(one: ConformanceCase): string | undefined {
  return Object.entries(rules).find(([, holds]) => holds(one))?.[0];
}

/** The case's operators that the table lacks. */
export function missingOps(one: ConformanceCase): string[] {
  return [
    ...new Set(
      nodesOf(one)
        .filter(({ opType, domain }) => opType !== 'Constant' && !isSupported(opType, domain))
        .map(({ opType }) => opType),
    ),
  ];
}
