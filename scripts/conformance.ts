/**
 * npm run conformance
 * Runs the interpreter on ONNX's backend node cases of opset 7 to the newest: how many apply, how many pass, what was excluded
 * and why. Fetches the cases once, with Python. Exit 1 when an applicable case fails.
 */
import { Command } from 'commander';
import { SppError } from '../schema/errors.ts';
import { textTable } from '../trainer/cli/table.ts';
import { startBackend } from '../trainer/engine/backend.ts';
import { caseReleases, readCases } from '../trainer/graph/conformance/case-files.ts';
import { type ConformanceReport, runCases } from '../trainer/graph/conformance/report.ts';
import { CASES, fetchCases } from './conformance/fetch-cases.ts';

const { python } = new Command('npm run conformance --')
  .description('Runs the interpreter on the official ONNX node cases, which it fetches once, with Python.')
  .option('--python <file>', 'interpreter that makes the virtual environment', 'python3')
  .parse()
  .opts<{ python: string }>();

try {
  await fetchCases(python, (line) => process.stderr.write(`${line}\n`));
  await startBackend('wasm');
  const reports = caseReleases(CASES).map(
    (release) => [release, runCases(readCases(CASES, release))] as const,
  );
  process.stdout.write(`${text(reports)}\n`);
  process.exitCode = reports.some(([, { failed }]) => Object.keys(failed).length > 0) ? 1 : 0;
} catch (error) {
  if (!(error instanceof SppError)) throw error;
  process.stderr.write(`error: ${error.message} ${error.hint ?? ''} [${error.code}]\n`);
  process.exitCode = error.exitCode;
}

function text(reports: readonly (readonly [string, ConformanceReport])[]): string {
  const rows = reports.map(([release, { passed, failed, excluded }]) => {
    const applicable = passed + Object.keys(failed).length;
    const out = Object.values(excluded).reduce((a, b) => a + b, 0);
    return [release, String(applicable + out), String(applicable), String(passed), String(out)];
  });
  const reasons = [...new Set(reports.flatMap(([, { excluded }]) => Object.keys(excluded)))];
  const counts = reasons.map((reason) => [
    reason,
    ...reports.map(([, { excluded }]) => String(excluded[reason] ?? 0)),
  ]);
  const failures = reports.flatMap(([, { failed }]) =>
    Object.entries(failed).map(([name, wrong]) => `  ${name}: ${wrong}`),
  );
  const missing = [...new Set(reports.flatMap(([, report]) => report.missing))].sort();
  return [
    textTable(['onnx', 'cases', 'applicable', 'pass', 'excluded'], rows),
    '',
    textTable(['excluded because of', ...reports.map(([release]) => release)], counts),
    '',
    `Operators outside the table: ${missing.join(', ')}.`,
    ...(failures.length === 0 ? [] : ['', 'Failures:', ...failures]),
  ].join('\n');
}
