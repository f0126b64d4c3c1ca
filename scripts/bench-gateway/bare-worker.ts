/** What a gateway can at best be: Hono in workerd that hands each request on as it is. */
import { Hono } from 'hono';
import type { NodeNetwork } from '../../gateway/nodes/node-network.ts';

interface Bindings {
  readonly NODE: string;
  /** Straight to the node; without it as Miniflare sends what a worker fetches: through a worker of its own. */
  readonly NODE_NETWORK?: NodeNetwork;
}

const app = new Hono<{ Bindings: Bindings }>();
app.post('/v2/models/:model/infer', async ({ req, env }) => {
  const url = `${env.NODE}/v2/models/${req.param('model')}/versions/3/infer`;
  const init = { method: 'POST', headers: req.raw.headers, body: req.raw.body };
  const { NODE_NETWORK } = env;
  const response = await (NODE_NETWORK === undefined ? fetch(url, init) : NODE_NETWORK.fetch(url, init));
  return new Response(response.body, response);
});
/** Nothing but the runtime's timer. */
app.post('/timer/:ms', async ({ req, body }) => {
  await new Promise((done) => setTimeout(done, Number(req.param('ms'))));
  return body('');
});

export default app;
