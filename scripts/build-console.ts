/** npm run build:console -- [DIRECTORY]: the operator's console, where wrangler.toml takes it from unless told otherwise. */
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { bundleConsole } from './local/bundle-console.ts';

const DEPLOYED = fileURLToPath(new URL('../.wrangler/console', import.meta.url));

await new Command('npm run build:console --')
  .description("Bundles the operator's console for a browser.")
  .argument('[directory]', 'where its files go', DEPLOYED)
  .action(bundleConsole)
  .parseAsync();
