/** The gateway as one module, the way it is deployed. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** In the place of what only Node has; the same as wrangler.toml's. */
const ALIAS = { util: fileURLToPath(new URL('../../gateway/metrics/value-text.ts', import.meta.url)) };
const ENTRY = fileURLToPath(new URL('../../gateway/worker.ts', import.meta.url));

/** @returns the module's text; a Node-only import anywhere in the gateway fails the build */
export function bundleWorker(): Promise<string> {
  return bundleModule(ENTRY);
}

/** Any module and what it imports, as one for workerd. */
export async function bundleModule(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker', 'import'],
    external: ['cloudflare:workers'],
    alias: ALIAS,
    logLevel: 'error',
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error('esbuild wrote nothing.');
  return output.text;
}
