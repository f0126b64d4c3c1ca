/**
 * npm run picture:console -- [--data-dir .data] [--out docs/figures/console.png]
 * A picture of the console before what `npm start` serves there, after some seconds of requests with all kinds of budgets.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Command } from 'commander';
import type { Page } from 'playwright-core';
import { z } from 'zod';
import { startBrowser } from '../test/support/browser.ts';
import { positive } from './local/flag-numbers.ts';

const BUDGETS_MS = [4, 8, 12, 20, 40, 100];
const PAUSE_MS = 15;
const SIZE = { width: 1200, height: 1220 };

const credentialsSchema = z.looseObject({ url: z.url(), clientKey: z.string(), operatorToken: z.string() });

const command = new Command('npm run picture:console --')
  .description('Takes a picture of the console of the gateway that npm start has started.')
  .option('--data-dir <directory>', 'as npm start was given it', '.data')
  .option('--out <file>', 'PNG', 'docs/figures/console.png')
  .option('--seconds <s>', 'of requests before', positive, 30)
  .parse();
const flags = command.opts<{ dataDir: string; out: string; seconds: number }>();

const text = await readFile(join(flags.dataDir, 'dev-credentials.json'), 'utf8').catch((error: Error) =>
  command.error(`error: ${error.message}. npm start writes it.`, { exitCode: 2 }),
);
const credentials = credentialsSchema.parse(JSON.parse(text));
await requests(await readFile(join(flags.dataDir, 'digit.json'), 'utf8'));
const browser = await startBrowser();
try {
  const page = await browser.newPage({ viewport: SIZE });
  await signedIn(page);
  await page.screenshot({ path: flags.out });
} finally {
  await browser.close();
}

async function requests(body: string): Promise<void> {
  const { url, clientKey } = credentials;
  const endMs = performance.now() + 1000 * flags.seconds;
  for (let sent = 0; performance.now() < endMs; sent++) {
    const response = await fetch(`${url}/v2/models/digits/infer`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${clientKey}`,
        'content-type': 'application/json',
        'x-latency-budget': `${BUDGETS_MS[sent % BUDGETS_MS.length]}ms`,
      },
      body,
    });
    await response.body?.cancel();
    await pause(PAUSE_MS);
  }
}

async function signedIn(page: Page): Promise<void> {
  await page.goto(`${credentials.url}/console`);
  await page.getByLabel("An operator's token").fill(credentials.operatorToken);
  await page.getByRole('button', { name: 'sign in' }).click();
  await page.locator('#traffic').getByText('digits').waitFor();
  await page.locator('#levels').getByText('100.0 %').waitFor();
}
