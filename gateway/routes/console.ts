/** The operator's console: a page that asks the operator's interface for all it shows, with the token that its reader gives it. */
import { SppError } from '../../schema/errors.ts';
import type { Gateway } from '../gateway.ts';
import type { Route } from '../route.ts';

/** All that there is, by address. */
const files: ReadonlyMap<string, string> = new Map([
  ['console.html', 'text/html; charset=utf-8'],
  ['console.js', 'text/javascript; charset=utf-8'],
  ['console.css', 'text/css; charset=utf-8'],
]);

/** The page loads what is its own and asks this gateway alone; no other page can have it in a frame. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const consoleRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/console',
    access: 'open',
    handle: ({ gateway }) => consoleFile(gateway, 'console.html'),
  },
  {
    method: 'GET',
    path: '/console/:file',
    access: 'open',
    handle: ({ gateway, param }) => consoleFile(gateway, param('file')),
  },
];

async function consoleFile({ consoleFiles }: Gateway, name: string): Promise<Response> {
  const type = files.get(name);
  if (type === undefined)
    throw new SppError('not-found', `The console has no file ${JSON.stringify(name.slice(0, 64))}.`, {
      hint: `There is ${[...files.keys()].join(', ')}.`,
    });
  const found = await consoleFiles?.fetch(`https://console/${name}`);
  if (found?.ok !== true)
    throw new SppError('not-found', 'This deployment has no console.', {
      hint: '`npm run build:console` makes it; `npm start` and `wrangler deploy` do so by themselves.',
    });
  return new Response(found.body, {
    headers: {
      'content-type': type,
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-cache',
    },
  });
}
