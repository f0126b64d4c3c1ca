/** `trainer report`: the page that shows what a path offers, made again from the artifact. */
import { Command } from 'commander';
import { openArtifact } from '../../schema/artifact/store.ts';
import { adviceText, guideline } from '../report/guideline.ts';
import { readReportData } from '../report/report-data.ts';
import { writeReport } from '../report/write-report.ts';

export function reportCommand(): Command {
  return new Command('report')
    .description(
      'Write report.html into an artifact: path, widths, quality against cost, which level to use.',
    )
    .argument('<directory>', 'the artifact')
    .option('--json', 'print the guideline as JSON', false)
    .action(async (directory: string, flags: { json: boolean }) => {
      const { manifest } = await openArtifact(directory);
      const file = await writeReport(directory, manifest, await readReportData(directory));
      const advice = guideline(manifest);
      process.stdout.write(
        flags.json
          ? `${JSON.stringify({ file, guideline: advice })}\n`
          : `${advice.map(adviceText).join('\n')}\nreport: ${file}\n`,
      );
    });
}
