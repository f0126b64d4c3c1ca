/** What Prometheus reads. */
import type { Route } from '../route.ts';

export const metricsRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/metrics',
    access: 'metrics',
    async handle({ gateway, background }) {
      // What comes of it is told next time: a scrape does not wait for nodes.
      background.waitUntil(Promise.resolve(gateway.fleet.refresh(background)).catch(() => {}));
      const { text, contentType } = await gateway.metrics.expose();
      return new Response(text, { headers: { 'content-type': contentType, 'cache-control': 'no-store' } });
    },
  },
];
