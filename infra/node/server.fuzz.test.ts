/** Bodies nobody would send on purpose: whatever comes, the node answers with a problem of the sender's and lives on. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  disposables,
  post,
  postBytes,
  readyNode,
  tinyArtifact,
  tinyBinaryRequest,
  tinyRequest,
} from '../../test/support/node-client.ts';

const scope = disposables();
let url: string;
beforeAll(async () => {
  const artifact = await tinyArtifact(scope);
  const node = await readyNode(scope, { artifact });
  url = `${node.url}/v2/models/tiny`;
});
afterAll(() => scope.dispose());

const GOOD = tinyRequest([[1, 2, 3, 4]], [1], { id: 'f', outputs: [{ name: 'logits' }] });

/** Every place of a JSON value, as a path of keys. */
function places(value: unknown, at: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, child]) => places(child, [...at, key]))];
}

function replaced(value: unknown, path: readonly string[], by: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return by;
  const copy = structuredClone(value) as Record<string, unknown>;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}

const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(
    null,
    -1,
    0,
    1.5,
    2 ** 31,
    2 ** 53,
    1e308,
    '',
    'FP32',
    'BYTES',
    'FP16',
    [],
    {},
    [[]],
    [[1, 2], [3]],
  ),
  fc.array(fc.integer({ min: -2, max: 6 }), { maxLength: 6 }),
);

async function answers(path: string, body: string): Promise<void> {
  await answered(await post(`${url}${path}`, body), body);
}

async function answered(response: Response, sent: string): Promise<void> {
  const headerLength = response.headers.get('inference-header-content-length');
  const bytes = Buffer.from(await response.arrayBuffer());
  const text = bytes.toString('utf8', 0, headerLength === null ? bytes.length : Number(headerLength));
  expect([200, 400, 404], `${response.status} ${text} for ${sent}`).toContain(response.status);
  const document = JSON.parse(text) as Record<string, unknown>;
  if (response.status === 200) expect(document.model_name).toBe('tiny');
  else expect(document).toMatchObject({ status: response.status, error: expect.any(String) });
}

describe('any body', () => {
  test('a good request with some places replaced is answered or refused, never failed', async () => {
    const change = fc.tuple(fc.constantFrom(...places(GOOD)), odd);
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const body = changes.reduce<unknown>((value, [path, by]) => {
          const exists = places(value).some((place) => place.join('\0') === path.join('\0'));
          return exists ? replaced(value, path, by) : value;
        }, GOOD);
        await answers('/infer', JSON.stringify(body));
      }),
      { numRuns: 400 },
    );
  });

  test('any text is refused or, if it is a request, answered', async () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.constant(JSON.stringify(GOOD)));
    const cut = fc.tuple(text, fc.nat(400)).map(([whole, end]) => whole.slice(0, end));
    await fc.assert(
      fc.asyncProperty(fc.oneof(text, cut), (body) => answers('/infer', body)),
      { numRuns: 200 },
    );
  });

  test('names that objects inherit are names like any other', async () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      const body = JSON.stringify({ ...GOOD, inputs: [{ ...GOOD.inputs[0], name }, GOOD.inputs[1]] });
      await answers('/infer', body.replace('"id"', `"${name}":{"x":1},"id"`));
    }
  });

  test('any model and level in the path is refused or served', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 1, unit: 'binary' }), async (segment) => {
        await answers(`/versions/${encodeURIComponent(segment.toWellFormed())}/infer`, JSON.stringify(GOOD));
      }),
      { numRuns: 100 },
    );
    const raw = await post(`${url}/versions/%ff/infer`, GOOD);
    expect(raw.status).toBe(404);
  });
});

describe('any binary body', () => {
  const { body: GOOD_BYTES, headerLength } = tinyBinaryRequest([[1, 2, 3, 4]], [1], {
    parameters: { binary_data_output: true },
  });
  const byte = fc.integer({ min: 0, max: 255 });
  const place = fc.nat(GOOD_BYTES.length - 1);
  const mutations = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), at: place, bytes: fc.tuple(byte) }),
    fc.record({ kind: fc.constant('insert' as const), at: place, bytes: fc.array(byte, { maxLength: 12 }) }),
    fc.record({ kind: fc.constant('cut' as const), at: place, bytes: fc.array(byte, { maxLength: 12 }) }),
    // Digits stay digits, so that sizes and shapes lie rather than break.
    fc.record({
      kind: fc.constant('set' as const),
      at: fc.constantFrom(...digitsIn(GOOD_BYTES, headerLength)),
      bytes: fc.tuple(fc.integer({ min: 0x30, max: 0x39 })),
    }),
  );
  const length = fc.oneof(
    { weight: 3, arbitrary: fc.constant(String(headerLength)) },
    fc.nat(GOOD_BYTES.length + 4).map(String),
    fc.constantFrom('-1', '1e9', '99999999999999999999', 'x', '0', 'Infinity', '1.5'),
  );

  test('is answered or refused, never failed, whichever of its bytes are changed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(mutations, { maxLength: 4 }), length, async (changes, stated) => {
        const bytes = [...GOOD_BYTES];
        for (const { kind, at, bytes: given } of changes)
          bytes.splice(at, kind === 'insert' ? 0 : given.length, ...(kind === 'cut' ? [] : given));
        const response = await postBytes(`${url}/infer`, Uint8Array.from(bytes), stated);
        await answered(response, `${stated}: ${Buffer.from(bytes).toString('latin1')}`);
      }),
      { numRuns: 600 },
    );
  });
});

function digitsIn(bytes: Uint8Array, end: number): number[] {
  return [...bytes.subarray(0, end).entries()].flatMap(([i, byte]) =>
    byte >= 0x30 && byte <= 0x39 ? [i] : [],
  );
}
