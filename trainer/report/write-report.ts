/** `report.html`: one file that needs nothing else, made from the manifest and what the run kept for it. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { writeDurably } from '../../schema/artifact/write.ts';
import type { Manifest, ManifestLevel } from '../../schema/manifest.ts';
import { adviceText, guideline, lossText } from './guideline.ts';
import { qualityRange } from './quality-range.ts';
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

/** All that levels are measured by, the main one first. */
export function metricsOf({ levels }: Pick<Manifest, 'levels'>): string[] {
  const { quality } = levels.at(-1) as ManifestLevel;
  return [quality.metric, ...Object.keys(quality.details ?? {})];
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
  const { quality } = levels.at(-1) as ManifestLevel;
  const metrics = metricsOf(manifest);
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
    lossMeans: lossText({ quality }),
    metrics,
    ranges: Object.fromEntries(metrics.map((metric) => [metric, rangeOf(metric, levels, data)])),
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

/** Of all charts of a metric: of the levels' intervals, and of other ways of pruning that were measured by it. */
function rangeOf(
  metric: string,
  levels: readonly ManifestLevel[],
  data: ReportData | undefined,
): ReturnType<typeof qualityRange> {
  const own = levels.flatMap(({ quality }) => {
    const its = metric === quality.metric ? quality : quality.details?.[metric];
    return its === undefined ? [] : [its.low, its.high];
  });
  const main = levels.at(-1)?.quality.metric;
  const others = (data?.baselines ?? []).filter((each) => (each.metric ?? main) === metric);
  return qualityRange(
    own,
    others.flatMap(({ points }) => points.map(({ value }) => value)),
  );
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
