/** `report.html`: one file that needs nothing else, made from the manifest and what the run kept for it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '../../schema/artifact/write.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { bundled } from './bundled.ts';
import { pageContent } from './page-content.ts';
import type { ReportData } from './report-data.ts';

export const REPORT_FILE = 'report.html';

/** @returns the path of the page */
export async function writeReport(
  directory: string,
  manifest: Manifest,
  data: ReportData | undefined,
): Promise<string> {
  await writeDurably(directory, REPORT_FILE, new TextEncoder().encode(await reportPage(manifest, data)));
  return join(directory, REPORT_FILE);
}

/** The page as HTML: style, script and data are within it. */
export async function reportPage(manifest: Manifest, data: ReportData | undefined): Promise<string> {
  const [frame, style, script] = await Promise.all([
    readFile(new URL('./page/frame.html', import.meta.url), 'utf8'),
    bundled('style.css'),
    bundled('main.ts'),
  ]);
  const { id, version } = manifest.model;
  // Functions as replacements: the contents may hold what replace() reads as patterns.
  return frame
    .replace('/*STYLE*/', () => style)
    .replace('/*SCRIPT*/', () => script)
    .replace('/*DATA*/', () => JSON.stringify(pageContent(manifest, data)).replaceAll('<', '\\u003c'))
    .replaceAll('/*TITLE*/', () => `${escaped(id)} ${escaped(version)}`);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
