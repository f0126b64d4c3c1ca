/** Bodies nobody would send on purpose: whatever comes, the node answers with a problem of the sender's and lives on. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  disposables,
  post,
  readyNode,
  temporaryDirectory,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { writeTinyArtifact } from '../../test/support/tiny-model.ts';

const scope = disposables();
let url: string;
beforeAll(async () => {
  const artifact = await temporaryDirectory(scope);
  await writeTinyArtifact(artifact);
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
  const response = await post(`${url}${path}`, body);
  const text = await response.text();
  expect([200, 400, 404], `${response.status} ${text} for ${body}`).toContain(response.status);
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
