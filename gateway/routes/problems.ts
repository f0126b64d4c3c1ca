/** `GET /problems/{code}`: what a problem document's `type` points to. */
import { type ProblemCode, problems, SppError } from '../../schema/errors.ts';
import type { Route } from '../route.ts';

export const problemRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/problems/:code',
    access: 'open',
    handle({ param }) {
      const code = param('code');
      if (!Object.hasOwn(problems, code))
        throw new SppError('not-found', 'There is no such problem code.', {
          details: { codes: Object.keys(problems) },
        });
      const { title, status } = problems[code as ProblemCode];
      return Response.json({ type: `/problems/${code}`, code, title, status });
    },
  },
];
