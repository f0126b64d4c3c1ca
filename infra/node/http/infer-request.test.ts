import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { datatypes, inferRequestSchema } from '../../../schema/protocol.ts';
import { isInferRequest, parseInferRequest } from './infer-request.ts';

const scalar = fc.oneof(
  fc.string(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.integer(),
);
const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom('', -1, 1.5, 2 ** 53, Number.POSITIVE_INFINITY, null),
);
/** Mostly what belongs there. */
const mostly = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof(
    { weight: 60, arbitrary: arbitrary as fc.Arbitrary<unknown> },
    { weight: 1, arbitrary: odd as fc.Arbitrary<unknown> },
  );
const parameters = mostly(
  fc.dictionary(fc.oneof({ weight: 30, arbitrary: fc.string() }, fc.constant('__proto__')), mostly(scalar)),
);
const name = mostly(fc.string({ minLength: 1 }));
const output = mostly(fc.record({ name, parameters, extra: odd }, { requiredKeys: ['name'] }));
const input = mostly(
  fc.record(
    {
      name,
      shape: mostly(fc.array(mostly(fc.nat()), { maxLength: 16 })),
      datatype: mostly(fc.constantFrom(...Object.keys(datatypes))),
      parameters,
      data: mostly(fc.array(odd, { maxLength: 3 })),
      extra: odd,
    },
    { requiredKeys: ['name', 'shape', 'datatype'] },
  ),
);
const request = mostly(
  fc.record(
    {
      id: mostly(fc.string({ maxLength: 300 })),
      parameters,
      inputs: mostly(fc.array(input, { minLength: 1, maxLength: 3 })),
      outputs: mostly(fc.array(output, { maxLength: 3 })),
      extra: odd,
    },
    { requiredKeys: ['inputs'] },
  ),
);

const well = {
  id: 'a',
  parameters: { binary_data_output: true, n: 1, s: '' },
  inputs: [{ name: 'x', shape: [1, 0], datatype: 'FP32', data: [[1]], parameters: { binary_data_size: 4 } }],
  outputs: [{ name: 'y' }],
};

describe('the quick check of a request', () => {
  test('takes nothing that the schema refuses or changes, and all that it takes but for odd names', () => {
    let taken = 0;
    fc.assert(
      fc.property(request, (value) => {
        const parsed = inferRequestSchema.safeParse(value);
        const quick = isInferRequest(value);
        if (quick) {
          taken++;
          expect(parsed.success && parsed.data).toEqual(value);
        } else if (parsed.success) expect(JSON.stringify(value)).toContain('__proto__');
      }),
      { numRuns: 2000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  test.each([
    ['64 inputs', { inputs: Array(64).fill(well.inputs[0]) }, true],
    ['65 inputs', { inputs: Array(65).fill(well.inputs[0]) }, false],
    ['65 outputs', { ...well, outputs: Array(65).fill({ name: 'y' }) }, false],
    ['17 dimensions', { inputs: [{ ...well.inputs[0], shape: Array(17).fill(1) }] }, false],
    ['a long id', { ...well, id: 'a'.repeat(257) }, false],
    ['a well-formed request', well, true],
  ])('agrees with the schema about %s', (_, value, good) => {
    expect(isInferRequest(value)).toBe(good);
    expect(inferRequestSchema.safeParse(value).success).toBe(good);
  });

  test('leaves out what is null, but for elements', () => {
    const data = [[null]];
    const given = {
      id: null,
      parameters: null,
      inputs: [{ ...well.inputs[0], parameters: null, data }],
      outputs: null,
    };
    expect(parseInferRequest(given)).toEqual({
      inputs: [{ name: 'x', shape: [1, 0], datatype: 'FP32', data }],
    });
    const named = {
      ...given,
      inputs: [{ ...well.inputs[0], data: null }],
      outputs: [{ name: 'y', parameters: null }],
    };
    expect(parseInferRequest(named)).toEqual({
      inputs: [{ name: 'x', shape: [1, 0], datatype: 'FP32', parameters: { binary_data_size: 4 } }],
      outputs: [{ name: 'y' }],
    });
    expect(() => parseInferRequest({ inputs: null })).toThrow(/inputs/);
  });

  test('leaves the faults to the schema, which names them', () => {
    expect(() => parseInferRequest({ inputs: [{ ...well.inputs[0], shape: [-1] }] })).toThrow(
      /inputs\[0\]\.shape\[0\]/,
    );
  });
});

test('a fault of the whole body names no part of it', () => {
  expect(() => parseInferRequest([])).toThrow(/^The body is not an inference request\. Invalid input/);
});
