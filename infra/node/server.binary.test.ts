/** The binary tensor data extension over real sockets. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { headerLengthName } from '../../schema/binary-tensors.ts';
import {
  disposables,
  inferOk,
  postBytes,
  problemOf,
  readyNode,
  tinyArtifact,
  tinyBinaryRequest,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { tinyReference } from '../../test/support/tiny-model.ts';

const scope = disposables();
let url: string;
beforeAll(async () => {
  const artifact = await tinyArtifact(scope);
  url = `${(await readyNode(scope, { artifact })).url}/v2/models/tiny/infer`;
});
afterAll(() => scope.dispose());

const X = [
  [0.5, -1, 2, 0.25],
  [-3, 1, 0, 1],
];
const TOKEN = [3, 0];

interface BinaryOutput {
  readonly name: string;
  readonly data?: readonly unknown[];
  readonly parameters?: { readonly binary_data_size: number };
}

async function parts(response: Response) {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const length = Number(response.headers.get(headerLengthName));
  const json = JSON.parse(new TextDecoder().decode(bytes.subarray(0, length))) as {
    id?: string;
    outputs: BinaryOutput[];
  };
  return { json, tail: bytes.slice(length) };
}

describe('binary tensors', () => {
  test('go in and come out, and mean what the same numbers in JSON do', async () => {
    const { body, headerLength } = tinyBinaryRequest(X, TOKEN, {
      id: 'b1',
      parameters: { binary_data_output: true },
    });
    const response = await postBytes(url, body, String(headerLength));
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      'application/octet-stream',
    ]);
    const { json, tail } = await parts(response);
    expect(json).toEqual({
      model_name: 'tiny',
      model_version: '2',
      id: 'b1',
      outputs: [
        { name: 'logits', datatype: 'FP32', shape: [2, 3], parameters: { binary_data_size: 24 } },
        { name: 'label', datatype: 'INT64', shape: [2], parameters: { binary_data_size: 16 } },
      ],
    });
    const wanted = tinyReference(2, X, TOKEN);
    const logits = new Float32Array(tail.buffer, 0, 6);
    for (const [i, value] of wanted.logits.flat().entries()) expect(logits[i]).toBeCloseTo(value, 5);
    expect([...new BigInt64Array(tail.buffer, 24, 2)].map(Number)).toEqual(wanted.label);
  });

  test('stand beside JSON ones in a request and in its answer', async () => {
    const [x, token] = tinyRequest(X, TOKEN).inputs;
    const { data, ...bare } = x!;
    const tail = new Uint8Array(Float32Array.from(data).buffer);
    const header = JSON.stringify({
      inputs: [token, { ...bare, parameters: { binary_data_size: tail.length } }],
      outputs: [{ name: 'label' }, { name: 'logits', parameters: { binary_data: true } }],
    });
    const response = await postBytes(
      url,
      Uint8Array.from([...Buffer.from(header), ...tail]),
      String(header.length),
    );
    const answer = await parts(response);
    expect(answer.json.outputs).toMatchObject([
      { name: 'label', data: tinyReference(2, X, TOKEN).label },
      { name: 'logits', parameters: { binary_data_size: 24 } },
    ]);
    expect(answer.json.outputs[1]?.data).toBeUndefined();
    expect(answer.tail.length).toBe(24);
  });

  test('carry numbers that are not finite, which JSON cannot', async () => {
    const request = tinyRequest([[3e38, -3e38, 0, 3e38]], [0], { outputs: [{ name: 'logits' }] });
    const nulls = (await inferOk(url, request)).body.outputs[0]?.data.map((value) => value === null);
    const { body, headerLength } = tinyBinaryRequest([[3e38, -3e38, 0, 3e38]], [0], {
      outputs: [{ name: 'logits', parameters: { binary_data: true } }],
    });
    const { tail } = await parts(await postBytes(url, body, String(headerLength)));
    expect([...new Float32Array(tail.buffer)].map((value) => !Number.isFinite(value))).toEqual(nulls);
    expect(nulls).toContain(true);
  });

  test.each([
    [
      'a tensor with too few bytes',
      -4,
      0,
      'bad-request',
      /"token" has the binary_data_size 16, but 12 bytes/,
    ],
    ['bytes left over', 4, 0, 'bad-request', /4 bytes follow the last tensor/],
    ['a length that cuts the object', 0, -1, 'bad-json', /not valid JSON/],
  ])('refuses %s', async (_, grow, shift, code, message) => {
    const { body, headerLength } = tinyBinaryRequest(X, TOKEN);
    const changed = new Uint8Array(body.length + grow);
    changed.set(body.subarray(0, changed.length));
    const problem = await problemOf(await postBytes(url, changed, String(headerLength + shift)));
    expect(problem).toMatchObject({ status: 400, code, error: expect.stringMatching(message) });
  });

  test.each(['Infinity', '-Infinity', '1.5', '-3', '1e3', '0x71'])(
    'refuses %s as the length of the object, and lives on',
    async (length) => {
      const { body, headerLength } = tinyBinaryRequest(X, TOKEN);
      const problem = await problemOf(await postBytes(url, body, length));
      expect(problem).toMatchObject({ status: 400, code: 'bad-header' });
      expect((await postBytes(url, body, String(headerLength))).status).toBe(200);
    },
  );

  test('refuses a size that does not go with the shape, naming the tensor', async () => {
    const { body, headerLength } = tinyBinaryRequest([X[0]!], [3], {});
    const text = new TextDecoder('latin1').decode(body).replace('"shape":[1,4]', '"shape":[2,4]');
    const bytes = Uint8Array.from(Buffer.from(text, 'latin1'));
    expect(await problemOf(await postBytes(url, bytes, String(headerLength)))).toMatchObject({
      status: 400,
      code: 'bad-shape',
      error: expect.stringMatching(/"x" has 16 bytes .* 32/),
    });
  });
});
