/** The threat model names a test for each of its lines: they are there. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const model = await readFile(root('docs/security.md'), 'utf8');
const lines = model
  .split('\n')
  .filter((line) => /^\| \d+ \|/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, number = '', threat = '', , tests = '']) => ({ number: Number(number), threat, tests }));

describe('the threat model', () => {
  test('counts its lines', () => {
    expect(lines.length).toBeGreaterThan(15);
    expect(lines.map(({ number }) => number)).toEqual(lines.map((_, i) => i + 1));
  });

  test.each(lines)('$number. $threat', async ({ tests }) => {
    const named = [...tests.matchAll(/`([\w./-]+\.test\.ts)`(?:: ([^`]*?))?(?=[;,] `|; |$)/g)];
    expect(named.length).toBeGreaterThan(0);
    for (const [, path = '', title] of named) {
      const text = await readFile(root(path), 'utf8');
      if (title !== undefined) expect(text).toContain(title);
    }
  });
});
