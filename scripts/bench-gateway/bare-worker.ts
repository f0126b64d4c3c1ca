/** What a gateway can at best be: Hono in workerd that hands each request on as it is. */
import { Hono } from 'hono';

interface Bindings {
  readonly NODE: string;
}

const app = new Hono<{ Bindings: Bindings }>();
app.post('/v2/models/:model/infer', async ({ req, env }) => {
  const url = `${env.NODE}/v2/models/${req.param('model')}/versions/3/infer`;
  const response = await fetch(url, { method: 'POST', headers: req.raw.headers, body: req.raw.body });
  return new Response(response.body, response);
});
/** Nothing but the runtime's timer. */
app.post('/timer/:ms', async ({ req, body }) => {
  await new Promise((done) => setTimeout(done, Number(req.param('ms'))));
  return body('');
});

export default app;
