// @vitest-environment happy-dom
/** The page's elements, and what its choices have drawn. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ChartOption } from '../../../schema/page/chart-frame.ts';
import { decoderManifest, keptOfRun, otherWays } from '../../../test/support/report-content.ts';
import { pageContent } from '../page-content.ts';
import type { ReportData } from '../report-data.ts';
import { showPage } from './page.ts';

const frame = readFileSync(join(import.meta.dirname, 'frame.html'), 'utf8');
const body = /<body>(.*?)<script/s.exec(frame)?.[1] ?? '';

/** @returns what each chart was last told to draw */
function shown(data: ReportData | undefined): Map<string, ChartOption> {
  document.body.innerHTML = body;
  const drawn = new Map<string, ChartOption>();
  showPage(pageContent(decoderManifest, data), ({ id }) => ({
    draw: (option) => void drawn.set(id, option),
    resize() {},
  }));
  return drawn;
}

const byId = (id: string) => document.getElementById(id) as HTMLElement;
const rows = (id: string) =>
  [...byId(id).querySelectorAll('tr')].map((row) => [...row.cells].map(({ textContent }) => textContent));

function choose(id: 'metric' | 'batch', value: string): void {
  const select = byId(id) as HTMLSelectElement;
  select.value = value;
  select.dispatchEvent(new Event('change'));
}

describe('the report', () => {
  let drawn: Map<string, ChartOption>;
  beforeEach(() => {
    drawn = shown(keptOfRun);
  });

  test('draws all charts anew when another metric or batch size is chosen', () => {
    expect([...drawn.keys()]).toEqual(['by-flops', 'by-params', 'by-latency', 'path']);
    choose('metric', 'perplexity');
    expect(drawn.get('by-params')?.yAxis).toMatchObject({ name: 'perplexity, lower is better' });
    choose('batch', '8');
    expect(drawn.get('by-latency')?.xAxis).toMatchObject({ name: 'p50 ms at batch 8' });
    expect(drawn.get('by-latency')?.yAxis).toMatchObject({ name: 'perplexity, lower is better' });
  });

  test('names the ways that are drawn', () => {
    expect(byId('ways').textContent).toMatch(/this path.*random/);
    choose('metric', 'perplexity');
    expect(byId('ways').textContent).toMatch(/this path.*Fisher/);
    expect(byId('ways').textContent).not.toContain('random');
  });

  test('has everything that is drawn in a table, too', () => {
    expect(rows('levels')[1]).toEqual(
      expect.arrayContaining(['30.0 %', '0.4512', '6.1600', '6.0500 to 6.2700', '1.00', '8.00']),
    );
    expect(rows('baselines')).toContainEqual(['Fisher', 'perplexity', '30.0 %', '17.1', '17 to 17.2']);
    expect(rows('widths')[1]).toEqual(['mlp', '6', '2', '4', '6']);
    expect(rows('cost').at(-1)).toEqual(['all', '68.0', '2.13']);
    expect(rows('run')).toContainEqual(['steps', '100']);
    expect(byId('baselines-details').hidden).toBe(false);
  });

  test('tells which level to use, and what the run has to say', () => {
    expect(rows('advice')[3]).toEqual(['1.0 %', '2', '100 %', '100 %', '0.00 %', '0.34 %', '1.0x']);
    expect(byId('advice-note').textContent).toMatch(
      /For at most 1 % loss use level 2: the dense one\. Loss counts in points/,
    );
    expect(byId('subtitle').textContent).toBe('next-token, 3 levels, 1 pair; made 2026-01-01 00:00 UTC');
    expect(byId('notes').textContent).toContain('a note');
  });

  test('colours a width by its share, and has headers that belong to columns', () => {
    const shares = [...byId('widths').querySelectorAll('tr:last-child td')].map(
      (cell) => /heat\) \* ([\d.]+)/.exec(cell.getAttribute('style') ?? '')?.[1],
    );
    expect(shares).toEqual([undefined, undefined, '0.333', '0.667', '1.000']);
    for (const header of document.querySelectorAll('th')) expect(header.scope).toBe('col');
  });

  test('breaks no line of a note inside a flag', () => {
    const last = byId('notes').lastElementChild;
    expect([...(last?.childNodes ?? [])].map((node) => [node.nodeName, node.textContent])).toEqual([
      ['#text', 'slower levels; '],
      ['CODE', '--frontier'],
      ['#text', ' leaves them out'],
    ]);
  });
});

test('shows first what the ways were measured by', () => {
  const drawn = shown({ ...keptOfRun, baselines: otherWays.slice(1) });
  expect((byId('metric') as HTMLSelectElement).value).toBe('perplexity');
  expect(drawn.get('by-flops')?.yAxis).toMatchObject({ name: 'perplexity, lower is better' });
});

test('without what the run kept there is no path, no table of ways, and no cost', () => {
  shown(undefined);
  expect(byId('path-section').hidden).toBe(true);
  expect(byId('baselines-details').hidden).toBe(true);
  expect(byId('ways').childElementCount).toBe(0);
  expect((byId('metric') as HTMLSelectElement).value).toBe('next-token-accuracy');
  expect(rows('cost')).toEqual([]);
});
