/** The interface's own description. */
import { openApiDocument } from '../openapi/document.ts';
import type { Route } from '../route.ts';

/** @param routes all others; the document describes itself too */
export function documentRoutes(routes: readonly Route[]): readonly Route[] {
  let text: string | undefined;
  const own: Route = {
    method: 'GET',
    path: '/openapi.json',
    access: 'open',
    handle() {
      // Made when it is first asked for: most isolates never are.
      text ??= JSON.stringify(openApiDocument([...routes, own]));
      return new Response(text, { headers: { 'content-type': 'application/json' } });
    },
  };
  return [own];
}
