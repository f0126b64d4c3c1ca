/** What is served, for operators. */
import { operatorMetadata } from '../inference/metadata.ts';
import type { Route } from '../route.ts';

export const modelRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/models',
    access: 'viewer',
    async handle({ gateway, background }) {
      const models = [...(await gateway.catalog.get(background)).values()];
      const policy = await gateway.policy.get(background);
      await gateway.fleet.refresh(background, ...models.map(({ id }) => id));
      return Response.json({
        models: models.map((model) => operatorMetadata(model, gateway.fleet, policy)),
      });
    },
  },
];
