/** `report.html`: one file that needs nothing else, made from the manifest and what the run kept for it. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { writeDurably } from '../../schema/artifact/write.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { adviceText, guideline } from './guideline.ts';
import type { ReportData } from './report-data.ts';

export const REPORT_FILE = 'report.html';

const require = createRequire(import.meta.url);

/** @returns the path of the page */
export async function writeReport(
  directory: string,
  manifest: Manifest,
  data: ReportData | undefined,
): Promise<string> {
  await writeDurably(directory, REPORT_FILE, new TextEncoder().encode(await reportPage(manifest, data)));
  return join(directory, REPORT_FILE);
}

export async function reportPage(manifest: Manifest, data: ReportData | undefined): Promise<string> {
  const part = (name: string) => readFile(new URL(`./page/${name}`, import.meta.url), 'utf8');
  const [frame, style, script, library] = await Promise.all([
    part('frame.html'),
    part('style.css'),
    part('script.js'),
    readFile(require.resolve('echarts/dist/echarts.common.min.js'), 'utf8'),
  ]);
  const { model, createdAt, task, pairs, levels, search, seed, dataSha256, inputs } = manifest;
  const advice = guideline(manifest).map((each) => ({ ...each, text: adviceText(each) }));
  const content = {
    model,
    createdAt,
    task,
    pairs: pairs.map(({ name, kind, units, heads, flopsPerUnit }) => ({
      name,
      kind,
      units,
      heads,
      flopsPerUnit,
    })),
    levels: levels.map(({ extents: _, chunk: __, own: ___, ...shown }) => shown),
    advice,
    run: {
      ...search,
      seed,
      data: dataSha256.slice(0, 12),
      inputs: inputs.map(({ name }) => name).join(', '),
    },
    ...(data === undefined ? {} : { path: data }),
  };
  // Functions as replacements: the contents may hold what replace() reads as patterns.
  return frame
    .replace('/*STYLE*/', () => style)
    .replace('/*LIBRARY*/', () => library.replaceAll('</script', '<\\/script'))
    .replace('/*SCRIPT*/', () => script)
    .replace('/*DATA*/', () => JSON.stringify(content).replaceAll('<', '\\u003c'))
    .replaceAll('/*TITLE*/', () => `${escaped(model.id)} ${escaped(model.version)}`);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
