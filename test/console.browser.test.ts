/** The console as operators see it: handed out by the gateway in its real runtime, in Chromium. */
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { decision, digits, goodNode, modelLevel } from '../gateway/console/console.fixture.ts';
import { bundleConsole } from '../scripts/local/bundle-console.ts';
import { noBrowser, startBrowser } from './support/browser.ts';
import { type ContractFleet, contractFleet } from './support/contract-fleet.ts';
import { secrets } from './support/gateway.ts';
import { disposables, problemOf, temporaryDirectory } from './support/node-client.ts';

const scope = disposables();
const sixtyFour = Array.from({ length: 64 }, (_, level) => modelLevel(level, level / 64, 1 + level));
let fleet: ContractFleet;

beforeAll(async () => {
  const consoleDir = join(await temporaryDirectory(scope), 'console');
  await bundleConsole(consoleDir);
  fleet = await contractFleet(scope, {}, { consoleDir });
});
afterAll(() => scope.dispose());

describe('what the gateway hands out', () => {
  const get = (path: string) => fetch(`${fleet.gateway.url}${path}`);

  test('is a page that loads what is its own, and stands in no frame', async () => {
    const page = await get('/console');
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await page.text()).toContain('<title>solution-path console</title>');
    const policy = page.headers.get('content-security-policy') ?? '';
    for (const rule of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "frame-ancestors 'none'",
    ])
      expect(policy.split('; ')).toContain(rule);
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
  });

  test.each([
    ['console.js', 'text/javascript; charset=utf-8'],
    ['console.css', 'text/css; charset=utf-8'],
  ])('has %s beside it', async (name, type) => {
    const file = await get(`/console/${name}`);
    expect(file.headers.get('content-type')).toBe(type);
    expect((await file.text()).length).toBeGreaterThan(1000);
  });

  test.each(['x.js', '..%2Fconsole.html', 'main.ts'])('has no %s', async (name) => {
    const answer = await get(`/console/${name}`);
    expect(answer.status).toBe(404);
    expect(await problemOf(answer)).toMatchObject({ code: 'not-found' });
  });
});

const title = noBrowser === undefined ? 'in a browser' : `in a browser (${noBrowser})`;
describe.skipIf(noBrowser !== undefined)(title, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());

  /** @returns the page before anybody has signed in, and what has gone wrong in it */
  async function opened(viewport = { width: 1280, height: 800 }) {
    const context = await browser.newContext({ viewport });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    const faults: string[] = [];
    page.on('pageerror', ({ message }) => faults.push(message));
    page.on('console', (line) => line.type() === 'error' && faults.push(line.text()));
    await page.goto(`${fleet.gateway.url}/console`);
    return { page, faults };
  }

  async function signIn(page: Page, token: string) {
    await page.getByLabel("An operator's token").fill(token);
    await page.getByRole('button', { name: 'sign in' }).click();
  }

  test('shows fleet, traffic and models to whoever has a token, in this tab alone', async () => {
    for (let i = 0; i < 5; i++) await (await fleet.infer('3s')).arrayBuffer();
    const { page, faults } = await opened();
    await signIn(page, secrets.operatorToken);
    await page.locator('#fleet').getByText('in service').first().waitFor();
    await page
      .locator('#levels')
      .getByText(/^1\d{3}\.\d\d$/)
      .waitFor();
    await page.locator('#frontier').getByText('predicted ms, one input').waitFor();
    expect(await page.evaluate('scrollY'), 'who has signed in is at the top').toBe(0);
    // Decisions are written behind requests, and the page asks again.
    await page.locator('#traffic').getByText('tiny').waitFor();
    await page.locator('#traffic-chart').getByText('% in time').waitFor();
    await page.locator('#traffic-legend').getByText('refused').waitFor();
    // The marks of quick levels lie upon one another.
    await page.locator('#frontier svg path[fill="#fff"]').last().hover({ force: true });
    await page.locator('#frontier').getByText('of the FLOPs').waitFor();
    await page.reload();
    await page.locator('#fleet').getByText('in service').first().waitFor();
    await page.getByRole('button', { name: 'sign out' }).click();
    await page.getByLabel("An operator's token").waitFor();
    const other = await opened();
    await other.page.getByLabel("An operator's token").waitFor();
    expect(faults).toEqual([]);
  });

  test('says that a token is wrong', async () => {
    const { page } = await opened();
    await signIn(page, 'op_wrong');
    await page.getByRole('alert').getByText('not valid').waitFor();
    expect(await page.locator('#fleet').isVisible()).toBe(false);
  });

  const scrollWidth = (page: Page) => page.evaluate('document.documentElement.scrollWidth');

  test('holds long names and markup as text, and many nodes and levels, on a narrow screen', async () => {
    const { page, faults } = await opened({ width: 380, height: 800 });
    const markup = '<img src=x onerror="document.title=1">';
    const long = 'a-very-long-name-'.repeat(15);
    const named = (name: string) => decision(name.length, 2, { model: name });
    const answers = {
      '/v1/nodes': {
        nodes: Array.from({ length: 300 }, (_, i) => ({ ...goodNode, name: `${i}${long}`, reason: markup })),
        registered: [],
        next: null,
      },
      '/v1/models': {
        models: [
          { ...digits, name: markup, levels: sixtyFour },
          { ...digits, name: long },
        ],
      },
      '/v1/decisions': { decisions: [named(markup), named(long)], next: null },
    };
    for (const [path, json] of Object.entries(answers))
      await page.route(
        (url) => url.pathname === path,
        (route) => route.fulfill({ json }),
      );
    await signIn(page, secrets.operatorToken);
    await page.locator('#fleet').getByText(markup).first().waitFor();
    await page.locator('#traffic').getByText(markup).waitFor();
    await page.locator('#levels').getByText('63', { exact: true }).waitFor();
    await page.locator('#model').selectOption(long);
    expect(await scrollWidth(page)).toBe(380);
    expect(await page.title()).toBe('solution-path console');
    expect(await page.evaluate('document.documentElement.scrollHeight')).toBeLessThan(6000);
    expect(faults).toEqual([]);
  });

  test.each([380, 1280])('keeps the words of the trail of changes whole, %i pixels wide', async (width) => {
    const { page } = await opened({ width, height: 800 });
    const change = { id: 1, atMs: 0, actor: 'operator', action: 'artifact.activate', target: 'digits/v1' };
    const entries = [{ ...change, detail: { sha256: '0'.repeat(64) } }];
    await page.route(/\/v1\/audit/, (route) => route.fulfill({ json: { entries, next: null } }));
    await signIn(page, secrets.operatorToken);
    await page.locator('#audit').getByText('artifact.activate').waitFor();
    const lines = await page.locator('#audit td').evaluateAll((cells) =>
      cells.map((cell) => {
        const text = cell.ownerDocument.createRange();
        text.selectNodeContents(cell);
        return new Set([...text.getClientRects()].map(({ top }) => top)).size;
      }),
    );
    expect(lines.slice(1, 4)).toEqual([1, 1, 1]);
    expect(await scrollWidth(page)).toBe(width);
  });

  test('has no empty charts and choices where there is nothing yet', async () => {
    const { page } = await opened();
    await page.route(/\/v1\/(models|decisions)/, (route) =>
      route.fulfill({
        json: route.request().url().includes('models') ? { models: [] } : { decisions: [], next: null },
      }),
    );
    await signIn(page, secrets.operatorToken);
    await page.getByText('No model yet').waitFor();
    await page.getByText('No decision has been kept yet').waitFor();
    for (const id of ['traffic-model', 'traffic-chart', 'model', 'frontier', 'levels'])
      expect(await page.locator(`#${id}`).isVisible(), id).toBe(false);
  });

  test('takes a policy from writing to force, and back', async () => {
    const { page, faults } = await opened();
    await signIn(page, secrets.operatorToken);
    const editor = page.locator('#policy');
    const inForce = await page.getByText(/^Version \d+ is in force\.$/).textContent();
    const before = await editor.inputValue();
    await editor.fill(before.replace(/"quantile": [\d.]+/, '"quantile": 2'));
    await page.getByRole('button', { name: 'validate' }).click();
    await page
      .locator('#policy-findings')
      .getByText(/^quantile: /)
      .waitFor();
    await editor.fill(before.replace(/"quantile": [\d.]+/, '"quantile": 0.75'));
    await page.getByRole('button', { name: 'dry run' }).click();
    await page.getByText(/recorded decisions, which stand for|No decision has been recorded/).waitFor();
    await page.getByRole('button', { name: 'activate' }).click();
    await page.getByText('It is in force').waitFor();
    const now = async () => (await (await fleet.gateway.operator('GET', '/v1/policy')).json()) as object;
    expect(await now()).toMatchObject({ quantile: 0.75 });
    page.on('dialog', (dialog) => void dialog.accept());
    const version = Number(/\d+/.exec(inForce ?? '')?.[0]);
    const back = page.getByRole('button', { name: `go back to version ${version}`, exact: true });
    await back.focus();
    await page.keyboard.press('Enter');
    await page.getByText(`Version ${version} is in force again.`).waitFor();
    expect(await page.locator(':focus').getAttribute('aria-label')).toBe(`go back to version ${version}`);
    await page.locator('#versions').getByText('again version').waitFor();
    expect(await now()).toEqual(JSON.parse(before));
    expect(faults.filter((fault) => !fault.includes('422'))).toEqual([]);
  });
});
