// @vitest-environment happy-dom
/** The console as it is worked with: signing in, what is read anew, policies. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { dryRun, policyText } from './console.fixture.ts';
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
let asked: string[];

beforeEach(() => {
  vi.useFakeTimers();
  served = gateway();
  asked = [];
  vi.stubGlobal('fetch', served.fetch);
  vi.stubGlobal('confirm', (question: string) => asked.push(question) > 0);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('signing in', () => {
  test('asks for a token, and keeps one that is good', async () => {
    const { session, drawn } = opened(null);
    expect([byId('sign-in').hidden, byId('signed-in').hidden]).toEqual([false, true]);
    const input = signIn(` ${TOKEN} `);
    await inService();
    expect([byId('sign-in').hidden, byId('signed-in').hidden]).toEqual([true, false]);
    expect(session.kept).toBe(TOKEN);
    expect(input.value, 'it is not left in the page').toBe('');
    expect(drawn).toEqual(expect.arrayContaining(['traffic-chart', 'frontier']));
    await until(() => expect(byId('audit').textContent).toContain('policy.put'));
    await until(() => expect(byId('levels').textContent).toContain('not served'));
  });

  test('says why a token is not good, and keeps none', async () => {
    const { session } = opened('op_bad');
    await until(() => expect(byId('sign-in-fault').textContent).toBe('Not valid.'));
    expect(byId('signed-in').hidden).toBe(true);
    expect(session.kept).toBeNull();
  });

  test.each(['op_g…d', 'op good'])('says of %j that it is no token', async (copied) => {
    const { session } = opened(null);
    signIn(copied);
    await until(() => expect(byId('sign-in-fault').textContent).toContain('No token has such characters'));
    expect(session.kept).toBeNull();
  });

  test('ends when the token does', async () => {
    const { session } = opened();
    await inService();
    for (const address of served.answers.keys())
      served.answers.set(address, () => served.refuse(401, 'Expired.'));
    await vi.advanceTimersByTimeAsync(5000);
    await until(() => expect(byId('sign-in-fault').textContent).toBe('Expired.'));
    expect(byId('signed-in').hidden).toBe(true);
    expect(session.kept).toBeNull();
  });
});

test('what cannot be read stays as it was, and that is said until it can', async () => {
  opened();
  await inService();
  const nodes = served.answers.get('GET /v1/nodes');
  served.answers.set('GET /v1/nodes', () => served.refuse(503, 'The fleet cannot be read.'));
  await vi.advanceTimersByTimeAsync(5000);
  await until(() =>
    expect(byId('fault').textContent).toMatch(
      /^The fleet cannot be read. What is not read stays as it was at \d\d:\d\d:\d\d\.$/,
    ),
  );
  expect(byId('fleet').textContent).toContain('in service');
  served.answers.set('GET /v1/nodes', nodes ?? (() => served.json({})));
  await vi.advanceTimersByTimeAsync(5000);
  await until(() => expect(byId('fault').textContent).toBe(''));
});

test('a page that expects other answers says so', async () => {
  served.answers.set('GET /v1/models', () => served.json({ models: 'none' }));
  opened();
  await until(() => expect(byId('fault').textContent).toContain('/v1/models'));
});

describe('a policy', () => {
  beforeEach(async () => {
    opened();
    await inService();
  });

  test('in force stands in the editor, and what somebody writes stays there', async () => {
    expect(JSON.parse(editor().value)).toEqual(JSON.parse(policyText));
    write('{ "half": ');
    expect(byId('policy-note').textContent).toMatch(/Version 4 is in force; .* differs/);
    await vi.advanceTimersByTimeAsync(5000);
    expect(editor().value).toBe('{ "half": ');
    press('as in force');
    await until(() => expect(JSON.parse(editor().value)).toEqual(JSON.parse(policyText)));
    expect(asked).toEqual([expect.stringContaining('Put it away?')]);
  });

  test('that is not valid is told with the place of each fault', async () => {
    const errors = [{ path: 'tiers[0].upToMs', message: 'is not positive' }];
    served.answers.set('POST /v1/policy/validate', () =>
      served.refuse(422, 'The policy is not valid.', { errors }),
    );
    press('validate');
    await until(() => expect(status()).toBe('The policy is not valid.'));
    expect(byId('policy-findings').textContent).toBe('tiers[0].upToMs: is not positive');
    expect(button('validate')?.getAttribute('aria-disabled')).toBe('false');
  });

  test('is held against the one in force before it is', async () => {
    served.answers.set('POST /v1/policy/validate', () =>
      served.json({
        valid: true,
        warnings: [{ path: '', message: 'covers little' }],
        against: 4,
        changes: [{ path: 'quantile', from: 0.99, to: 0.5 }],
      }),
    );
    press('validate');
    await until(() => expect(status()).toContain('can be put in force'));
    expect(byId('changes').textContent).toContain('quantile');
    expect(byId('policy-findings').textContent).toBe('covers little');
    served.answers.set('POST /v1/policy/dry-run', () => served.json(dryRun));
    press('dry run');
    await until(() => expect(status()).toContain('50.0 % of these change'));
    expect(byId('changes').textContent, 'of another question').toBe('');
    expect(byId('dry-run-result').textContent).toContain('refused: latency');
    expect(byId('changed-details').hidden).toBe(false);
  });

  test('takes the place of the one that it was begun from, and of no other', async () => {
    const mine = policyText.replace('0.99', '0.9');
    write(mine);
    served.answers.set('PUT /v1/policy', () => served.refuse(412, 'The version in force is 5.'));
    press('activate');
    await until(() => expect(status()).toBe('The version in force is 5.'));
    expect(editor().value).toBe(mine);
    served.answers.set('PUT /v1/policy', () => served.json(JSON.parse(mine)));
    served.answers.set('GET /v1/policy', () => served.json(JSON.parse(mine), { etag: '"5"' }));
    press('activate');
    await until(() => expect(status()).toContain('It is in force'));
    const puts = served.sent.filter(({ address }) => address === 'PUT /v1/policy');
    expect(puts.map(({ ifMatch, body: text }) => [ifMatch, text])).toEqual([
      ['"4"', mine],
      ['"4"', mine],
    ]);
    await until(() => expect(byId('policy-note').textContent).toBe('Version 5 is in force.'));
  });

  test('of an earlier version is shown, and gone back to', async () => {
    served.answers.set('POST /v1/policy/rollback', () => served.json(JSON.parse(policyText)));
    press('go back to it');
    await until(() =>
      expect(served.sent.find(({ address }) => address === 'POST /v1/policy/rollback')).toEqual({
        address: 'POST /v1/policy/rollback',
        body: '{"version":2}',
        ifMatch: '"4"',
      }),
    );
    expect(asked).toEqual(['Put version 2 in force again, at once?']);
    await until(() => expect(byId('history-status').textContent).toBe('Version 2 is in force again.'));
    [...document.querySelectorAll('button')].findLast(({ textContent }) => textContent === 'show')?.click();
    await until(() => expect(status()).toBe('Version 2 stands in the editor.'));
    expect(JSON.parse(editor().value)).toMatchObject({ quantile: 0.5 });
  });

  test('may not be changed by those who may only look, and they are told so', async () => {
    served.answers.set('POST /v1/policy/rollback', () => served.refuse(403, 'Viewers may not.'));
    press('go back to it');
    await until(() => expect(byId('history-status').textContent).toBe('Viewers may not.'));
    await vi.advanceTimersByTimeAsync(5000);
    expect(byId('history-status').textContent, 'whoever looks up later').toBe('Viewers may not.');
  });
});
