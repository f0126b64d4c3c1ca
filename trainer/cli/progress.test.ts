import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { lineProgress, terminalProgress } from './progress.ts';

describe('progress off a terminal', () => {
  test('writes a JSON line a second at most, with an ETA, and always the end of a stage', () => {
    const lines: unknown[] = [];
    let now = 0;
    const progress = lineProgress(
      (line) => lines.push(JSON.parse(line)),
      () => now,
    );
    const stage = progress.stage('search', 100);
    stage.update(1, { loss: 0.5 });
    for (let step = 2; step <= 50; step++) {
      now += 100;
      stage.update(step);
    }
    stage.finish();
    expect(lines[0]).toEqual({
      stage: 'search',
      done: 1,
      total: 100,
      share: 0.01,
      elapsedS: 0,
      etaS: null,
      loss: 0.5,
    });
    expect(lines).toHaveLength(6);
    expect(lines.at(-2)).toMatchObject({ done: 41, elapsedS: 4, etaS: 5.9 });
    expect(lines.at(-1)).toMatchObject({ done: 100, share: 1, etaS: 0 });
  });
});

describe('the time that a stage has left', () => {
  /** @param reports what was done after how many ms @returns what each said, in seconds */
  const etas = (total: number, before: number, reports: readonly (readonly [done: number, ms: number])[]) => {
    const lines: { etaS: number | null }[] = [];
    let now = 0;
    const progress = lineProgress(
      (line) => lines.push(JSON.parse(line)),
      () => now,
    );
    const stage = progress.stage('measure', total, before);
    for (const [done, ms] of reports) {
      now = ms;
      stage.update(done);
    }
    return lines.map(({ etaS }) => etaS);
  };

  test('does not count what is prepared before the first report', () => {
    expect(
      etas(160_000, 0, [
        [16, 770],
        [8016, 1770],
        [16_016, 2770],
      ]),
    ).toEqual([null, 19, 18]);
  });

  test('is known from the first of a few long parts', () => {
    expect(etas(4, 0, [[1, 60_000]])).toEqual([180]);
  });

  test('of a run that goes on counts what this run did', () => {
    expect(
      etas(300, 150, [
        [151, 3000],
        [153, 5000],
      ]),
    ).toEqual([null, 147]);
  });
});

describe('progress on a terminal', () => {
  test('what is said while a bar is open is said, and the bar is taken up below it', () => {
    const written: string[] = [];
    const stream = {
      isTTY: true,
      columns: 80,
      write: (text: string) => written.push(text),
      cursorTo() {},
      clearLine() {},
    };
    using progress = terminalProgress(stream as unknown as NodeJS.WriteStream);
    progress.stage('search', 10).update(1);
    progress.note('half as many examples at once');
    expect(written.at(-1)).toMatch(/^\r.*half as many examples at once\n/);
  });

  test('a bar left behind by work that failed is stopped, gives the cursor back and lets the process end', async () => {
    const script = `
      const { terminalProgress } = await import(${JSON.stringify(new URL('./progress.ts', import.meta.url).href)});
      const stream = Object.assign(process.stderr, { isTTY: true, cursorTo() {}, clearLine() {} });
      try {
        using progress = terminalProgress(stream);
        progress.stage('search', 10).update(1);
        throw new Error('failed');
      } catch {}`;
    const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 30_000,
    });
    expect(stderr).toContain('search');
    expect(stderr).toContain('\u001b[?25h');
  });
});
