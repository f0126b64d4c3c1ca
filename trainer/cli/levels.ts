/** `trainer levels`: what a path artifact offers. */
import { Command } from 'commander';
import { openArtifact } from '../../schema/artifact/store.ts';
import { levelTable } from './level-table.ts';

export function levelsCommand(): Command {
  return new Command('levels')
    .description('List the levels of an artifact: FLOPs, parameters, quality, latency.')
    .argument('<directory>', 'the artifact')
    .option('--json', 'print JSON', false)
    .action(async (directory: string, flags: { json: boolean }) => {
      const { manifest } = await openArtifact(directory);
      const { model, levels } = manifest;
      process.stdout.write(
        flags.json ? `${JSON.stringify({ model, levels })}\n` : `${levelTable(manifest)}\n`,
      );
    });
}
