/** The Worker's entry. An isolate builds its gateway with the first request and keeps it for all that follow. */
import { problemResponse } from '../schema/errors.ts';
import { type App, createApp } from './app.ts';
import { createGateway } from './gateway.ts';
import { holdsBody } from './http/expectation.ts';
import { beforeRest } from './http/unread-body.ts';
import { logFailure } from './log.ts';
import type { Bindings } from './settings.ts';

export { KeyLedger } from './budget/ledger-object.ts';

/** The one mutable thing at module level: it is the isolate's memory, which the hot path lives on. */
let app: App | undefined;

export default {
  async fetch(request, bindings, context) {
    try {
      app ??= createApp(createGateway(bindings));
      const response = await app.fetch(request, bindings, context);
      // Of a body that is held back there may never be a rest, but the next request.
      const told = response.ok || holdsBody(request.headers);
      return told ? response : beforeRest(response, request.body, context);
    } catch (error) {
      logFailure('gateway failed', error);
      return problemResponse(error);
    }
  },
} satisfies ExportedHandler<Bindings>;
