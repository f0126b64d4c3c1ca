import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inferRequestSchema } from '../../schema/protocol.ts';
import { firstTensor } from './tensor-head.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const head = (text: string) => firstTensor(bytes(text));

describe('the first tensor', () => {
  test('is found without reading its data', () => {
    const text = '{"inputs":[{"name":"x","shape":[3,4],"datatype":"FP32","data":[1,2,';
    expect(head(text)).toEqual({ name: 'x', shape: [3, 4], datatype: 'FP32' });
  });

  test('is found behind other members, in any order, with any white space', () => {
    const text = `\n{ "id": "a" , "parameters": {"a": [1, -2.5e3, {"b": null}], "c": "]"},\t"inputs" : [ {
      "parameters": { "binary_data_size": 16 }, "datatype": "INT64", "shape": [ ], "name": "t" } ], "outputs": [`;
    expect(head(text)).toEqual({ name: 't', shape: [], datatype: 'INT64' });
  });

  test.each(['[]', '[1,-2.5e3,[3]]', '["]", "\\"]\\\\", {"a":[null]}]'])(
    'is found behind the data %s',
    (data) => {
      const text = `{"inputs":[{"data": ${data} ,"datatype":"FP32","name":"x","parameters":{},"shape":[1]}]}`;
      expect(head(text)).toEqual({ name: 'x', shape: [1], datatype: 'FP32' });
      for (const cut of [text.indexOf(data) + 1, text.indexOf('"shape"')])
        expect(head(text.slice(0, cut))).toBeUndefined();
    },
  );

  test.each([
    ['{"inputs":[{"n\\u0061me":"x","sh\\u0061pe":[3],"datatype":"FP\\u00332","data":[', 'x', [3]],
    ['{"id":"\\"","inputs":[{"name":"h\\u00e9\\n","shape":[1],"datatype":"FP32","data":[', 'hé\n', [1]],
    ['{"inputs":[{"name":"übung 🙂","shape":[1],"datatype":"FP32","data":[', 'übung 🙂', [1]],
    ['{"inputs":[{"name":"x","shape":[1.0, 2e1,3E+0],"datatype":"FP32","data":[', 'x', [1, 20, 3]],
    ['{"inputs":[{"name":"x","data":null,"shape":[1],"datatype":"FP32"}', 'x', [1]],
    ['\ufeff{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[', 'x', [1]],
    [`{"inputs":[{"name":"${'n'.repeat(3000)}","shape":[1],"datatype":"FP32"}`, 'n'.repeat(3000), [1]],
  ])('is found in what is seldom written so: %s', (text, name, shape) => {
    expect(head(text)).toEqual({ name, shape, datatype: 'FP32' });
  });

  test('is found behind large members, of which only the end is looked for', () => {
    const large = Array(30_000).fill('tru,{"e":[]}').join();
    const tensor = '{"name":"x","shape":[1],"datatype":"FP32"}';
    expect(head(`{"a":[${large}],"outputs":{"b":[${large}]},"inputs":[${tensor}]}`)).toBeDefined();
    expect(head(`{"a":[${large},"inputs":[${tensor}]}`)).toBeUndefined();
  });

  test('is not looked for behind more members than anybody sends', () => {
    const members = Array.from({ length: 100_000 }, (_, at) => `"\\n${at}":1`).join();
    expect(head(`{${members},"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}`)).toBeUndefined();
  });

  test.each([
    '{"inputs":[{"data":1,"name":"x","shape":[1],"datatype":"FP32"}]}',
    '{"inputs":[{"data":["],"name":"x","shape":[1],"datatype":"FP32"}]}',
    '',
    '[]',
    '{}',
    '{"inputs":',
    '{"inputs":[]}',
    '{"inputs":[{}]}',
    '{"inputs":[{"name":"x","shape":[1.5],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"x","shape":[-1],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"x","shape":[01],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"x","shape":[1e-1],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"x","shape":[1.],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"x","shape":[10000000000000000],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"\\x","shape":[1],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"a\tb","shape":[1],"datatype":"FP32","data":[]}]}',
    '{"inputs":[{"name":"\\u00',
    '{"inputs":[{"name":"x","shape":[1],"datatype":"COMPLEX","data":[]}]}',
    '{"inputs":[{"name":"x","shape":[1],"datatype":"toString","data":[]}]}',
    '{"inputs":[{"name":"","shape":[1],"datatype":"FP32","data":[]}]}',
    '{"inputs" [{"name":"x","shape":[1],"datatype":"FP32","data":[]}]}',
    '{"a":tru,"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[]}]}',
    '{"a":[1,],"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[]}]}',
    `{"a":${'['.repeat(20)}${']'.repeat(20)},"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}`,
  ])('is left to the parser in %s', (text) => expect(head(text)).toBeUndefined());

  test('agrees with the parser on whatever it finds', () => {
    const any = fc.jsonValue({ maxDepth: 2 });
    const mostly = <T>(usual: fc.Arbitrary<T>) => fc.oneof({ weight: 5, arbitrary: usual }, any);
    const members = {
      name: mostly(fc.string({ minLength: 1 })),
      shape: mostly(fc.array(fc.nat(9), { maxLength: 3 })),
      datatype: mostly(fc.constantFrom('FP32', 'INT8', 'BAD')),
      data: any,
      parameters: any,
      x: any,
    };
    const tensor = fc
      .tuple(
        fc.record(members, { requiredKeys: [] }),
        fc.shuffledSubarray(Object.keys(members), { minLength: 3 }),
      )
      .map(([made, order]) => Object.fromEntries(order.map((key) => [key, made[key as keyof typeof made]])));
    const request = fc.record(
      { id: fc.string(), extra: any, inputs: fc.array(tensor, { minLength: 1, maxLength: 2 }) },
      { requiredKeys: ['inputs'] },
    );
    fc.assert(
      fc.property(request, fc.boolean(), (body, pretty) => {
        const text = JSON.stringify(body, null, pretty ? 2 : 0);
        const found = head(text);
        fc.pre(found !== undefined);
        const [first] = (JSON.parse(text) as { inputs: Record<string, unknown>[] }).inputs;
        expect(first).toMatchObject(found);
        // Whether `data` is an array, and what comes behind it, is for the node to say.
        const { data: _, parameters: __, ...rest } = first ?? {};
        expect(inferRequestSchema.safeParse({ inputs: [rest] }).success).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('never takes noise for a tensor, nor fails on it', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => firstTensor(noise) === undefined));
  });
});
