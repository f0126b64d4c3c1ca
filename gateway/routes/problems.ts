/** What each problem type's URL shows: JSON to programs, a page to people. */
import { type ProblemCode, problems, SppError } from '../../schema/errors.ts';
import { meanings } from '../openapi/problem-pages.ts';
import type { Route } from '../route.ts';

export const problemRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/problems',
    access: 'open',
    handle: ({ request }) => shown(request, Object.keys(problems) as ProblemCode[], 'Problems', true),
  },
  {
    method: 'GET',
    path: '/problems/:code',
    access: 'open',
    handle({ param, request }) {
      const code = param('code');
      if (!isCode(code))
        throw new SppError('not-found', 'There is no such problem code.', {
          hint: 'GET /problems lists them.',
        });
      return shown(request, [code], problems[code].title, false);
    },
  },
];

function isCode(text: string): text is ProblemCode {
  return Object.hasOwn(problems, text);
}

function shown(request: Request, codes: readonly ProblemCode[], title: string, list: boolean): Response {
  const pages = codes.map((code) => ({
    type: `/problems/${code}`,
    code,
    title: problems[code].title,
    status: problems[code].status,
    meaning: meanings[code],
  }));
  const headers = { vary: 'accept' };
  if (!(request.headers.get('accept') ?? '').includes('text/html'))
    return Response.json(list ? { problems: pages } : pages[0], { headers });
  const entries = pages.map(
    ({ code, title: heading, status, meaning }) =>
      `<h2 id="${code}">${escaped(heading)}</h2><p><code>${code}</code>, HTTP ${status}</p><p>${withCode(meaning)}</p>`,
  );
  return new Response(
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title><style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui;max-width:42rem;margin:3rem auto;padding:0 1rem}</style>${entries.join('')}</html>`,
    {
      headers: {
        ...headers,
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
      },
    },
  );
}

/** Names in backticks as the code that they are. */
function withCode(text: string): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
