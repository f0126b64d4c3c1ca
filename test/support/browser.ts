/** Chromium, where this machine has one: pages are looked at by what people use. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const PLACES = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

const executablePath = PLACES.find((place) => place !== undefined && existsSync(place));

/** Why tests in a browser are skipped; undefined where there is one. */
export const noBrowser =
  executablePath === undefined
    ? 'no Chromium on this machine: install one, or set CHROMIUM to its path'
    : undefined;

/** @throws where there is none */
export function startBrowser(): Promise<Browser> {
  if (executablePath === undefined) throw new Error(noBrowser);
  return chromium.launch({ executablePath });
}
