/** The operator's console as the files that a browser loads. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const source = (name: string) => fileURLToPath(new URL(`../../gateway/console/${name}`, import.meta.url));

/** Writes console.html, console.js and console.css. @param directory made where it is not there */
export async function bundleConsole(directory: string): Promise<void> {
  await build({
    entryPoints: [
      { in: source('main.ts'), out: 'console' },
      { in: source('console.css'), out: 'console' },
    ],
    outdir: directory,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    legalComments: 'eof',
    logLevel: 'error',
  });
  await copyFile(source('console.html'), join(directory, 'console.html'));
}
