/** `trainer upload`: an artifact to a gateway. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { SppError } from '../../schema/errors.ts';
import type { StageProgress } from '../build/progress.ts';
import { uploadArtifact } from '../upload/upload-artifact.ts';
import { terminalProgress } from './progress.ts';

const TOKEN_VARIABLE = 'SPP_OPERATOR_TOKEN';

export function uploadCommand(): Command {
  return new Command('upload')
    .description(
      'Upload an artifact to a gateway. Checks it first, sends only what is missing there, and the manifest last.',
    )
    .argument('<directory>', 'the artifact')
    .requiredOption('--to <url>', "the gateway's origin, such as http://127.0.0.1:8787")
    .option(
      '--token-file <file>',
      `file that holds the operator token (default: environment ${TOKEN_VARIABLE})`,
    )
    .option('--json', 'print JSON', false)
    .action(async (directory: string, flags: { to: string; tokenFile?: string; json: boolean }) => {
      const token = await readToken(flags.tokenFile);
      using progress = terminalProgress();
      let stage: StageProgress | undefined;
      const result = await uploadArtifact({
        dir: directory,
        url: flags.to,
        token,
        onProgress: ({ doneBytes, totalBytes }) => {
          stage ??= progress.stage('upload', totalBytes);
          stage.update(doneBytes);
        },
      });
      stage?.finish();
      const { model, version, sentFiles, skippedFiles, activated } = result;
      process.stdout.write(
        flags.json
          ? `${JSON.stringify(result)}\n`
          : `${model} ${version}: ${sentFiles} files sent, ${skippedFiles} were there; ${activated ? 'it is active now' : 'it was active already'}\n`,
      );
    });
}

async function readToken(file: string | undefined): Promise<string> {
  const token =
    file === undefined
      ? process.env[TOKEN_VARIABLE]
      : await readFile(file, 'utf8').catch((cause: Error) => {
          throw new SppError('usage', `The token file ${file} cannot be read: ${cause.message}.`, {
            hint: 'Check --token-file and the permissions of what it names.',
            cause,
          });
        });
  const trimmed = token?.trim();
  if (!trimmed)
    throw new SppError('usage', file === undefined ? 'There is no operator token.' : `${file} is empty.`, {
      hint: `Set ${TOKEN_VARIABLE}, or name a file with --token-file.`,
    });
  return trimmed;
}
