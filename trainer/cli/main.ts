/** The trainer's command line. Commands live in files of their own; this one owns errors and exit codes. */
import { Command, CommanderError } from 'commander';
import { problemDocument, SppError } from '../../schema/errors.ts';
import { buildPathCommand } from './build-path.ts';
import { checkCommand } from './check.ts';
import { doctorCommand } from './doctor.ts';
import { exportCommand } from './export.ts';
import { inspectCommand } from './inspect.ts';
import { levelsCommand } from './levels.ts';
import { reportCommand } from './report.ts';
import { uploadCommand } from './upload.ts';
import { verifyCommand } from './verify.ts';

function program(): Command {
  const root = new Command('trainer')
    .description('Prunes a pretrained transformer along its whole solution path, in one run.')
    .showHelpAfterError('(add --help for what this command takes)')
    .exitOverride();
  for (const command of [
    inspectCommand(),
    checkCommand(),
    doctorCommand(),
    buildPathCommand(),
    levelsCommand(),
    reportCommand(),
    verifyCommand(),
    exportCommand(),
    uploadCommand(),
  ]) {
    root.addCommand(command.copyInheritedSettings(root));
  }
  return root;
}

/** @returns the exit code: 0 done, 1 the work failed, 2 the command or its input is wrong */
async function main(argv: readonly string[]): Promise<number> {
  try {
    await program().parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    const json = argv.includes('--json');
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      // It has said on stderr what is wrong.
      if (json) printProblem(new SppError('usage', error.message.replace(/^error: /, '')));
      return 2;
    }
    report(error, json);
    return error instanceof SppError ? error.exitCode : 1;
  }
}

/** One clear paragraph on stderr; with --json also a problem object on stdout. A foreseen error shows no stack. */
function report(error: unknown, json: boolean): void {
  if (error instanceof SppError) {
    process.stderr.write(
      `error: ${error.message}${error.hint === undefined ? '' : ` ${error.hint}`} [${error.code}]\n`,
    );
  } else {
    process.stderr.write(
      `error: unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
  if (json) printProblem(error);
}

function printProblem(error: unknown): void {
  process.stdout.write(`${JSON.stringify(problemDocument(error))}\n`);
}

let unwritten: Error | undefined;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Who read along has gone, as `head` does: no fault, and no reason for a build to end.
  if (error.code !== 'EPIPE') unwritten ??= error;
});
// Whom nothing can be told any more has the exit code.
process.stderr.on('error', () => {});
// What could not be written is known only behind the command.
process.on('exit', () => {
  if (unwritten === undefined) return;
  const why = `Not all of the result could be written to standard output: ${unwritten.message}.`;
  report(new SppError('not-written', why, { cause: unwritten }), false);
  process.exitCode ||= 1;
});

process.exitCode = await main(process.argv.slice(2));
