/** `trainer verify`: every byte against its sha256, every level against onnxruntime. */
import { Command } from 'commander';
import { verifyArtifact } from '../artifact/verify.ts';
import { terminalProgress } from './progress.ts';

export function verifyCommand(): Command {
  return new Command('verify')
    .description(
      'Check an artifact: sha256 of every file, and that every level loads and answers with finite numbers.',
    )
    .argument('<directory>', 'the artifact')
    .option('--json', 'print JSON', false)
    .action(async (directory: string, flags: { json: boolean }) => {
      using progress = terminalProgress();
      const result = await verifyArtifact(directory, progress);
      process.stdout.write(
        flags.json
          ? `${JSON.stringify(result)}\n`
          : `${result.model} ${result.version}: ${result.files} files and ${result.levels} levels are whole\n`,
      );
    });
}
