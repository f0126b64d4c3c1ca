/** What the bucket holds and no version lists, told from its own listing. */
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { plainManifest } from '../../test/support/report-manifest.ts';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';
import { activateVersion } from '../storage/catalog.ts';

const manifest = plainManifest();

/** So many objects a listing. */
let page: number;
let listings: number;
let here: Isolate;
let bucket: R2Bucket;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  bucket = bindings.ARTIFACTS;
  const paged = {
    list(options: R2ListOptions) {
      listings++;
      return bucket.list({ limit: page, ...options });
    },
  };
  here = isolate({ ...bindings, ARTIFACTS: paged as unknown as R2Bucket });
  for (const version of ['v1', 'v10']) {
    await write(`digits/${version}`, ['a.bin', 'manifest.json']);
    await activateVersion(here.gateway.db, {
      manifest: { ...manifest, model: { ...manifest.model, version } },
      manifestSha256: '0'.repeat(64),
      actor: 'test',
      nowMs: 1,
    });
  }
  return dispose;
});
beforeEach(async () => {
  page = 1000;
  listings = 0;
  const { objects } = await bucket.list({ prefix: 'artifacts/' });
  const rest = objects.filter(({ key }) => !/^artifacts\/digits\/v10?\//.test(key));
  await bucket.delete(rest.map(({ key }) => key));
});

async function write(version: string, files: readonly string[]): Promise<void> {
  for (const file of files) await bucket.put(`artifacts/${version}/${file}`, file);
}

interface Answer {
  uploads: { model: string; version: string; files: number; bytes: number; isLeast: boolean }[];
  next: string | null;
}
const ask = async (query = '') =>
  (await (await here.ask('GET', `/v1/uploads${query}`, secrets.operatorToken)).json()) as Answer;
const namesOf = ({ uploads }: Answer) => uploads.map(({ model, version }) => `${model}/${version}`);

/** All pages, one after the other. */
async function follow(query: string): Promise<string[][]> {
  const pages: string[][] = [];
  for (let next: string | null | undefined; next !== null; ) {
    const before: string = next === undefined ? '' : `&before=${encodeURIComponent(next)}`;
    const answer = await ask(`?${query}${before}`);
    pages.push(namesOf(answer));
    next = answer.next;
  }
  return pages;
}

test('are told with their files, bytes and when the last was written, of models without a version too', async () => {
  expect(await ask()).toEqual({ uploads: [], next: null });
  await write('digits/v1-half', ['graph.onnx', 'weights-0.bin']);
  await write('digist/v1', ['graph.onnx']);
  const listed = await bucket.list({ prefix: 'artifacts/digits/v1-half/' });
  const written = Math.max(...listed.objects.map(({ uploaded }) => uploaded.getTime()));
  expect(await ask()).toEqual({
    uploads: [
      {
        model: 'digist',
        version: 'v1',
        files: 1,
        bytes: 10,
        isLeast: false,
        lastWrittenAtMs: expect.any(Number),
      },
      { model: 'digits', version: 'v1-half', files: 2, bytes: 23, isLeast: false, lastWrittenAtMs: written },
    ],
    next: null,
  });
});

test.each([1000, 7, 3, 2, 1])('are each told once, by pages, with %i objects a listing', async (objects) => {
  page = objects;
  // Names of which one begins with the other, on both sides of what ends a name in a key.
  const names = ['digits/v', 'digits/v1-a', 'digits/v1.a', 'digits/v100', 'digits/v1a', 'digits/v2', 'm/v1'];
  for (const name of names) await write(name, ['a.bin', 'b.bin', 'c.bin']);
  for (const limit of [1, 2, 500]) {
    const pages = await follow(`limit=${limit}`);
    expect(pages.flat().toSorted()).toEqual(names.toSorted());
    for (const found of pages) expect(found.length).toBeLessThanOrEqual(limit);
  }
});

test('take ten listings a request at most, and one that fills them is told as far as they go', async () => {
  page = 1;
  const files = Array.from({ length: 12 }, (_, index) => `f${index}.bin`);
  await write('digits/large', files);
  await write('digits/small', ['a.bin']);
  const first = await ask();
  expect(listings).toBe(10);
  expect(first).toMatchObject({
    uploads: [{ version: 'large', files: 10, isLeast: true }],
    next: 'digits/large',
  });
  expect(await ask('?before=digits/large')).toMatchObject({
    uploads: [{ version: 'small', files: 1, isLeast: false }],
    next: null,
  });
});

test.each(['aaa', 'digits/v1/0/a.bin', 'digits/v2', 'z//'])(
  'are told beyond more files of others than a request lists, such as %s',
  async (foreign) => {
    page = 2;
    const others = Array.from({ length: 50 }, (_, index) => `artifacts/${foreign}-${index}`);
    for (const key of others) await bucket.put(key, 'x');
    for (const name of ['a/v1', 'digits/v2', 'zz/v1']) await write(name, ['a.bin', 'b.bin']);
    const pages = await follow('limit=500');
    expect(pages.flat()).toEqual(['a/v1', 'digits/v2', 'zz/v1']);
    expect(pages.length).toBeGreaterThan(2);
  },
);

test('are for operators, and the query is held to its names', async () => {
  expect((await here.ask('GET', '/v1/uploads', secrets.nodeToken)).status).toBe(401);
  expect((await here.ask('GET', '/v1/uploads?limit=0', secrets.operatorToken)).status).toBe(400);
  expect((await here.ask('GET', '/v1/uploads?model=digits', secrets.operatorToken)).status).toBe(400);
});
