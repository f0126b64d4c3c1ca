/** report.html as people see it: one file, opened in Chromium. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { reportPage } from '../trainer/report/write-report.ts';
import { noBrowser, startBrowser } from './support/browser.ts';
import { disposables, temporaryDirectory } from './support/node-client.ts';
import { decoderManifest, keptOfRun } from './support/report-content.ts';

const NARROW = { width: 380, height: 800 };
const WIDE = { width: 1400, height: 900 };

const title = noBrowser === undefined ? 'the report in a browser' : `the report in a browser (${noBrowser})`;
describe.skipIf(noBrowser !== undefined)(title, () => {
  const scope = disposables();
  let browser: Browser;
  let address: string;

  beforeAll(async () => {
    browser = await startBrowser();
    const file = join(await temporaryDirectory(scope), 'report.html');
    await writeFile(file, await reportPage(decoderManifest, keptOfRun));
    address = pathToFileURL(file).href;
  });
  afterAll(async () => {
    await browser.close();
    await scope.dispose();
  });

  /** @returns the page, and what has gone wrong in it */
  async function opened(options: BrowserContextOptions = {}) {
    const context = await browser.newContext({ viewport: WIDE, ...options });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    const faults: string[] = [];
    page.on('pageerror', ({ message }) => faults.push(message));
    page.on('console', (line) => ['error', 'warning'].includes(line.type()) && faults.push(line.text()));
    page.on('request', (request) => request.url() !== address && faults.push(request.url()));
    await page.goto(address);
    return { page, faults };
  }
  const axisNames = (page: Page, chart: string) => page.locator(`#${chart} svg text`).allTextContents();

  test('draws every chart, without a word in the console and without a request', async () => {
    const { page, faults } = await opened();
    for (const chart of ['by-flops', 'by-params', 'by-latency', 'path'])
      expect(await page.locator(`#${chart} svg path`).count(), chart).toBeGreaterThan(3);
    expect(await axisNames(page, 'by-flops')).toContain('FLOPs, % of dense');
    expect(faults).toEqual([]);
  });

  test('follows the choice of metric and batch size', async () => {
    const { page, faults } = await opened();
    await page.getByLabel('metric').selectOption('perplexity');
    await page.getByLabel('batch').selectOption('8');
    expect(await axisNames(page, 'by-latency')).toEqual(
      expect.arrayContaining(['perplexity, lower is better', 'p50 ms at batch 8']),
    );
    expect(await page.locator('#ways').textContent()).toContain('Fisher');
    expect(faults).toEqual([]);
  });

  test('tells a point under the pointer', async () => {
    const { page } = await opened();
    const chart = page.locator('#by-flops');
    const box = await chart.boundingBox();
    // The dense level: at the right end of the grid.
    const [x, y] = [(box?.width ?? 0) - 20, await denseHeight(page)];
    await chart.hover({ position: { x, y } });
    await page.getByText('level 2: 100.0 % of the FLOPs').waitFor();
  });

  test('fits a narrow screen: only tables scroll sideways', async () => {
    const { page } = await opened({ viewport: NARROW });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(NARROW.width);
    expect((await page.locator('#by-flops svg').boundingBox())?.width).toBeLessThanOrEqual(NARROW.width);
  });

  test('is dark where the reader has it so, charts and all', async () => {
    const inks = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page } = await opened({ colorScheme });
      const ground = await page.evaluate('getComputedStyle(document.body).backgroundColor');
      inks.push([ground, await page.locator('#by-flops svg text').first().getAttribute('fill')]);
    }
    const [light, dark] = inks;
    expect(light?.[0]).not.toBe(dark?.[0]);
    expect(light?.[1]).not.toBe(dark?.[1]);
  });

  test('is printed in ink on white, with charts as wide as the paper', async () => {
    const { page } = await opened({ colorScheme: 'dark' });
    await page.evaluate(`matchMedia('print').addEventListener('change', ({ matches }) => {
      if (!matches) return;
      const charts = [...document.querySelectorAll('.chart')];
      window.printed = {
        ink: getComputedStyle(document.body).color,
        fills: charts.map((chart) => chart.querySelector('svg text').getAttribute('fill')),
        beyond: charts.map((chart) => chart.querySelector('svg').width.baseVal.value - chart.clientWidth),
      };
    })`);
    await page.pdf({ format: 'A4' });
    expect(await page.evaluate('printed')).toEqual({
      ink: 'rgb(26, 29, 33)',
      fills: Array(4).fill('#5c6570'),
      beyond: Array(4).fill(0),
    });
  });

  /** Pixels from the chart's top to the circle of the level with the most FLOPs. */
  function denseHeight(page: Page): Promise<number> {
    return page.locator('#by-flops').evaluate((chart) => {
      const top = chart.getBoundingClientRect().top;
      const boxes = [...chart.querySelectorAll('svg path')].map((path) => path.getBoundingClientRect());
      const marks = boxes.filter(({ width, height }) => width > 5 && width < 12 && height > 5 && height < 12);
      const last = marks.toSorted((a, b) => b.left - a.left)[0];
      return last === undefined ? 0 : last.top + last.height / 2 - top;
    });
  }
});
