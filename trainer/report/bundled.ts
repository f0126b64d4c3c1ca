/** The page's own script with the charts it needs, and its style, each as one text for a browser. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** @param entry a module or a style sheet beside the page @returns it with all that it imports */
export async function bundled(entry: 'main.ts' | 'style.css'): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`./page/${entry}`, import.meta.url))],
    bundle: true,
    write: false,
    minify: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    // The chart library's licence stays with it.
    legalComments: 'eof',
    logLevel: 'error',
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error('esbuild wrote nothing.');
  return output.text;
}
