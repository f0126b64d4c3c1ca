/** Brings ONNX's backend node cases onto this machine, from releases of the PyPI package `onnx`, once. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SppError } from '../../schema/errors.ts';

const run = promisify(execFile);
const MAKER = join(import.meta.dirname, 'onnx-cases.py');

/** Makes the cases of the newest operators, by the package's code. */
const INSTALLED = '1.23.2';
/** Carry the forms of older opsets as files. Their wheels are only read, so the Python they are for need not be there. */
const WHEELS: Readonly<Record<string, { opset: number; python: string }>> = {
  '1.8.1': { opset: 13, python: '3.8' },
  '1.12.0': { opset: 17, python: '3.9' },
  '1.15.0': { opset: 20, python: '3.9' },
};

/** Where cases lie, by release; ignored by git. */
export const CASES = '.venv/conformance/cases';

/**
 * @param python the interpreter that makes the virtual environment
 * @throws `bad-data` when Python or the package index is not to be had
 */
export async function fetchCases(python: string, say: (line: string) => void): Promise<void> {
  const wanted = [INSTALLED, ...Object.keys(WHEELS)].filter((release) => !existsSync(join(CASES, release)));
  if (wanted.length === 0) return;
  const environment = '.venv/conformance/python';
  const own = join(environment, 'bin', 'python');
  await command(python, ['-m', 'venv', environment]);
  say(`installing onnx ${INSTALLED} into ${environment}`);
  await command(own, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', `onnx==${INSTALLED}`]);
  for (const release of wanted) {
    say(`fetching the cases of onnx ${release}`);
    const partial = join(CASES, '..', `partial-${release}`);
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    const wheel = release in WHEELS ? [await downloadWheel(own, release)] : [];
    await command(own, [MAKER, partial, ...wheel]);
    await mkdir(CASES, { recursive: true });
    await rename(partial, join(CASES, release));
  }
}

async function downloadWheel(python: string, release: string): Promise<string> {
  const folder = '.venv/conformance/wheels';
  const platforms = ['manylinux2010_x86_64', 'manylinux2014_x86_64', 'manylinux_2_17_x86_64'];
  const target = ['--python-version', WHEELS[release]?.python ?? '', '--only-binary=:all:', '--no-deps'];
  await command(python, [
    '-m',
    'pip',
    'download',
    '-q',
    '--disable-pip-version-check',
    ...target,
    ...platforms.flatMap((platform) => ['--platform', platform]),
    '--dest',
    folder,
    `onnx==${release}`,
  ]);
  const file = (await readdir(folder)).find((name) => name.startsWith(`onnx-${release}-`));
  return join(folder, file ?? '');
}

async function command(file: string, args: readonly string[]): Promise<void> {
  await run(file, [...args]).catch((cause: Error) => {
    throw new SppError('bad-data', `${file} ${args.slice(0, 4).join(' ')} failed: ${cause.message}`, {
      hint: 'The cases need Python 3.10 or newer with venv, and a package index; --python names the interpreter.',
      cause,
    });
  });
}
