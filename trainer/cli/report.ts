/** `trainer report`: the page that shows what a path offers, made again from the artifact. */
import { Command } from 'commander';
import { openArtifact } from '../../schema/artifact/store.ts';
import { SppError } from '../../schema/errors.ts';
import { readBaselines } from '../report/baselines.ts';
import { adviceText, guideline } from '../report/guideline.ts';
import { metricsOf } from '../report/page-content.ts';
import type { ReportData } from '../report/report-data.ts';
import { readReportData, writeReportData } from '../report/report-file.ts';
import { writeReport } from '../report/write-report.ts';

export function reportCommand(): Command {
  return new Command('report')
    .description(
      'Write report.html into an artifact: path, widths, quality against cost, which level to use.',
    )
    .argument('<directory>', 'the artifact')
    .option('--baselines <file>', 'draw other ways of pruning beside it: JSON that bench:path --docs wrote')
    .option('--json', 'print the guideline as JSON', false)
    .action(async (directory: string, flags: { json: boolean; baselines?: string }) => {
      const { manifest } = await openArtifact(directory);
      const kept = await readReportData(directory);
      const data =
        flags.baselines === undefined
          ? kept
          : await withBaselines(directory, kept, [flags.baselines, metricsOf(manifest)]);
      const file = await writeReport(directory, manifest, data);
      const advice = guideline(manifest);
      process.stdout.write(
        flags.json
          ? `${JSON.stringify({ file, guideline: advice })}\n`
          : `${advice.map(adviceText).join('\n')}\nreport: ${file}\n`,
      );
    });
}

/** Kept beside the artifact, so that the next report has them too. */
async function withBaselines(
  directory: string,
  kept: ReportData | undefined,
  measured: Parameters<typeof readBaselines>,
): Promise<ReportData> {
  if (kept === undefined)
    throw new SppError('usage', `${directory} holds no report.json to add baselines to.`, {
      hint: 'Build the path again; build-path writes it.',
    });
  const data = { ...kept, baselines: await readBaselines(...measured) };
  await writeReportData(directory, data);
  return data;
}
