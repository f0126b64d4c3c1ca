/** A token that is revoked while another change of it is under way stays revoked, in the isolate that hears both. */
import { beforeAll, expect, test } from 'vitest';
import { deployment, heardAfter, type Isolate, isolate, secrets } from './isolate.fixture.ts';

let here: Isolate;
/** Done once, behind so many answers of the database. */
let meanwhile: (() => Promise<void>) | undefined;
let answers = 0;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  const db = heardAfter(bindings.DB, async () => {
    if (meanwhile === undefined || --answers > 0) return;
    const once = meanwhile;
    meanwhile = undefined;
    await once();
  });
  here = isolate({ ...bindings, DB: db });
  return dispose;
});

const { operatorToken } = secrets;

interface Kind {
  readonly made: string;
  readonly body: object;
  /** What it opens. */
  readonly opens: string;
}

const kinds = {
  key: { made: '/v1/keys', body: { name: 'shop' }, opens: '/v2' },
  "operator's token": {
    made: '/v1/operator-tokens',
    body: { name: 'ann', role: 'viewer' },
    opens: '/v1/policy',
  },
  "node's token": {
    made: '/v1/nodes',
    body: { name: 'n', url: 'https://node.example.org' },
    opens: '/v1/artifacts/digits/v1/manifest.json',
  },
} as const satisfies Record<string, Kind>;

async function make({ made, body }: Kind) {
  const created = await here.ask('POST', made, operatorToken, body);
  const { key, token } = (await created.json()) as { key?: string; token?: string };
  return { secret: key ?? token ?? '', address: created.headers.get('location') ?? '' };
}

const revoked = (address: string) => async () => {
  expect((await here.ask('DELETE', address, operatorToken)).status).toBe(204);
};

/** With so many answers of the database, behind each of which it may be revoked. */
const rotation = ['POST', '/rotate', { overlapS: 60 }, 3] as const;
const change = ['PATCH', '', { name: 'other' }, 2] as const;
const changes = [
  ...Object.entries(kinds).map(([name, kind]) => [name, ...rotation, kind] as const),
  ['key', ...change, kinds.key] as const,
];
const moments = changes.flatMap(([name, method, path, body, answered, kind]) =>
  Array.from({ length: answered }, (_, place) => [name, method, path, place + 1, body, kind] as const),
);

test.each(moments)(
  'a %s that is revoked while %s %s has heard the database %i times opens nothing',
  async (_, method, path, place, body, kind) => {
    const { secret, address } = await make(kind);
    const status = async (shown: string) => (await here.ask('GET', kind.opens, shown)).status;
    expect(await status(secret)).not.toBe(401);
    answers = place;
    meanwhile = revoked(address);
    const changed = await here.ask(method, `${address}${path}`, operatorToken, body);
    expect(meanwhile).toBeUndefined();
    const { key, token } = (await changed.json()) as { key?: string; token?: string };
    for (const shown of [secret, key ?? token ?? secret]) expect(await status(shown)).toBe(401);
  },
);

test.each(['/v1/keys', '/v1/operator-tokens'])(
  'what is revoked before POST %s has told it opens nothing',
  async (path) => {
    const kind = Object.values(kinds).find(({ made }) => made === path) as Kind;
    answers = 1;
    meanwhile = async () => {
      const listed = await (await here.ask('GET', path, operatorToken)).json();
      const [newest] = Object.values(listed as object)[0] as { id: string }[];
      await revoked(`${path}/${newest?.id}`)();
    };
    const { secret } = await make(kind);
    expect((await here.ask('GET', kind.opens, secret)).status).toBe(401);
  },
);
