// @vitest-environment happy-dom
/** The console when things go wrong: broken answers, tokens that end, two operators at once, reading that goes on under the hand. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { decision, policyText } from './console.fixture.ts';
import {
  button,
  byId,
  editor,
  gateway,
  inService,
  opened,
  press,
  signIn,
  status,
  TOKEN,
  until,
  write,
} from './console-page.fixture.ts';

let served: ReturnType<typeof gateway>;
const fault = () => byId('fault').textContent;
const nextRefresh = () => vi.advanceTimersByTimeAsync(5000);

beforeEach(() => {
  vi.useFakeTimers();
  served = gateway();
  vi.stubGlobal('fetch', served.fetch);
  vi.stubGlobal('confirm', () => true);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('reading goes on', () => {
  const broken = () => {
    const text = new ReadableStream({ start: (stream) => stream.error(new TypeError('terminated')) });
    return new Response(text, { headers: { 'content-type': 'application/json' } });
  };
  test.each([
    ['breaks off', broken],
    ['is a page of a proxy', () => new Response('<!doctype html><title>Sign in</title>')],
  ])('after an answer that %s', async (_, answer) => {
    opened();
    await inService();
    for (const path of ['GET /v1/nodes', 'GET /v1/policy']) {
      const good = served.answers.get(path) ?? broken;
      served.answers.set(path, answer);
      await nextRefresh();
      await until(() => expect(fault()).toContain(path.slice(4)));
      served.answers.set(path, good);
      await nextRefresh();
      await until(() => expect(fault()).toBe(''));
    }
  });

  test('when nothing is answered for long', async () => {
    opened();
    await inService();
    const timedOut = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort());
    vi.stubGlobal('fetch', async (_: string, { signal }: RequestInit) => signal?.throwIfAborted());
    await nextRefresh();
    await until(() => expect(fault()).toContain('has not answered for 30 s'));
    timedOut.mockRestore();
    vi.stubGlobal('fetch', served.fetch);
    await nextRefresh();
    await until(() => expect(fault()).toBe(''));
  });

  test('once a gateway is there that was not when the page was opened', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('refused')));
    const { session } = opened();
    await until(() => expect(fault()).toBe('The gateway is not reached.'));
    expect(session.kept).toBe(TOKEN);
    vi.stubGlobal('fetch', served.fetch);
    await nextRefresh();
    await inService();
  });

  test('and is not announced again while the same is wrong', async () => {
    opened();
    await inService();
    served.answers.set('GET /v1/nodes', () => served.refuse(503, 'The fleet cannot be read.'));
    await nextRefresh();
    await until(() => expect(fault()).toContain('The fleet cannot be read.'));
    const said: MutationRecord[] = [];
    new MutationObserver((records) => said.push(...records)).observe(byId('fault'), {
      childList: true,
      characterData: true,
      subtree: true,
    });
    await nextRefresh();
    await nextRefresh();
    expect(said).toEqual([]);
  });
});

describe('signing in', () => {
  test('again keeps what was being written, and does each thing once', async () => {
    const { session } = opened();
    await inService();
    const mine = policyText.replace('0.99', '0.9');
    write(mine);
    const before = new Map(served.answers);
    for (const address of before.keys()) served.answers.set(address, () => served.refuse(401, 'Expired.'));
    await nextRefresh();
    await until(() => expect(byId('sign-in-fault').textContent).toBe('Expired.'));
    for (const [address, answer] of before) served.answers.set(address, answer);
    signIn(TOKEN);
    await until(() => expect(byId('signed-in').hidden).toBe(false));
    expect(session.kept).toBe(TOKEN);
    expect(editor().value).toBe(mine);
    served.answers.set('PUT /v1/policy', () => served.json(JSON.parse(mine)));
    press('activate');
    await until(() => expect(status()).toContain('It is in force'));
    expect(served.sent.filter(({ address }) => address === 'PUT /v1/policy')).toHaveLength(1);
  });

  test('need not be typed again while the gateway is away', async () => {
    opened(null);
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('refused')));
    const input = signIn(TOKEN);
    await until(() => expect(byId('sign-in-fault').textContent).toBe('The gateway is not reached.'));
    expect(input.value).toBe(TOKEN);
  });
});

describe('another operator', () => {
  const theirs = policyText.replace('0.99', '0.8');
  const putInForce = (text: string, version: number) =>
    served.answers.set('GET /v1/policy', () => served.json(JSON.parse(text), { etag: `"${version}"` }));
  const ifMatches = () => served.sent.flatMap(({ ifMatch }) => (ifMatch === null ? [] : [ifMatch]));

  beforeEach(async () => {
    opened();
    await inService();
  });

  test('is told of, and overruled only by who has seen what that would change', async () => {
    write(policyText.replace('0.99', '0.9'));
    putInForce(theirs, 5);
    await nextRefresh();
    await until(() =>
      expect(byId('policy-note').textContent).toMatch(/^Version 5 is in force; .* begun from version 4/),
    );
    const change = { path: 'quantile', from: 0.8, to: 0.9 };
    served.answers.set('POST /v1/policy/validate', () =>
      served.json({ valid: true, warnings: [], against: 5, changes: [change] }),
    );
    served.answers.set('PUT /v1/policy', () => served.refuse(412, 'Not that one.'));
    press('activate');
    await until(() => expect(status()).toBe('Not that one.'));
    press('validate');
    await until(() => expect(status()).toContain('in the place of version 5'));
    press('activate');
    await until(() => expect(ifMatches()).toEqual(['"4"', '"5"']));
  });

  test('is not gone back over by a table from before', async () => {
    putInForce(theirs, 5);
    served.answers.set('POST /v1/policy/rollback', () => served.refuse(412, 'The version is 5.'));
    press('go back to it');
    await until(() => expect(byId('history-status').textContent).toBe('The version is 5.'));
    expect(ifMatches()).toEqual(['"4"']);
  });
});

describe('what is under the hand', () => {
  beforeEach(async () => {
    opened();
    await inService();
    await until(() => expect(byId('versions').textContent).toContain('go back'));
  });

  test('stays: a focused button, also where a version comes above it, and cells that say the same', async () => {
    const back = button('go back to it');
    const [cell] = byId('fleet').querySelectorAll('td');
    back?.focus();
    await nextRefresh();
    expect(document.activeElement).toBe(back);
    expect(byId('fleet').querySelector('td')).toBe(cell);
    const versions = [5, 4, 2].map((version) => ({
      version,
      createdAtMs: version,
      createdBy: 'ann',
      rollbackTo: null,
    }));
    served.answers.set('GET /v1/policy/versions', () => served.json({ versions, next: null }));
    await nextRefresh();
    await until(() => expect(byId('versions').querySelectorAll('tr')).toHaveLength(4));
    expect(document.activeElement).toBe(back);
    expect(back?.getAttribute('aria-label')).toBe('go back to version 2');
    expect(back?.closest('tr')?.cells[0]?.textContent).toBe('2');
  });

  test('is asked for before it is put away', async () => {
    vi.stubGlobal('confirm', () => false);
    write('{ "mine": ');
    press('show');
    press('as in force');
    await vi.advanceTimersByTimeAsync(100);
    expect(editor().value).toBe('{ "mine": ');
    const leaving = new Event('beforeunload', { cancelable: true });
    window.dispatchEvent(leaving);
    expect(leaving.defaultPrevented).toBe(true);
  });
});

test('decisions and entries of the trail that are known are not read again', async () => {
  const read: string[] = [];
  vi.stubGlobal('fetch', (path: string, init?: RequestInit) => {
    if (/decisions|audit/.test(path)) read.push(path);
    return served.fetch(path, init);
  });
  served.answers.set('GET /v1/audit', () => {
    const entry = { id: read.length, atMs: 1, actor: 'ann', action: 'key.create', target: 'k', detail: {} };
    return served.json({ entries: [entry], next: null });
  });
  served.answers.set('GET /v1/decisions', () =>
    served.json({ decisions: [decision(7, 0), decision(6, 0)], next: null }),
  );
  opened();
  await until(() => expect(byId('traffic').textContent).toContain('digits2'));
  served.answers.set('GET /v1/decisions', () => served.json({ decisions: [decision(8, 0)], next: null }));
  await nextRefresh();
  await until(() => expect(byId('traffic').textContent).toContain('digits3'));
  await until(() => expect(byId('audit').querySelectorAll('tr')).toHaveLength(3));
  expect(read).toEqual([
    '/v1/decisions?limit=200',
    '/v1/audit?limit=20',
    '/v1/decisions?limit=200&after=7',
    '/v1/audit?limit=20&after=2',
  ]);
});
