/** Files of no version that is listed: of uploads that go on or were broken off, and what a deletion left that was. */
import { z } from 'zod';
import type { Route } from '../route.ts';
import { filesByVersion, nameOf } from '../storage/files-by-version.ts';
import { idPageSchema, pageOf } from './page.ts';

export const uploadsQuerySchema = idPageSchema.extend({
  /** `model/version`, or whatever `next` said: a key of the bucket has 1,024 bytes at most. */
  before: z.string().min(1).max(1024).optional(),
});

export const uploadRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/uploads',
    access: 'viewer',
    async handle({ gateway, request }) {
      const { limit, before } = pageOf(request, uploadsQuerySchema);
      const { versions, next } = await filesByVersion(gateway.bucket, before);
      // Read after the bucket: what was completed meanwhile is no upload any more.
      const catalog = await gateway.catalog.within(0);
      const uploads = versions.filter(({ model, version }) => !catalog.get(model)?.versions.has(version));
      const page = uploads.slice(0, limit);
      // A page that is not full may have others behind it: complete versions take up their share of the listing.
      const last = uploads.length > limit ? page.at(-1) : undefined;
      return Response.json({ uploads: page, next: last === undefined ? (next ?? null) : nameOf(last) });
    },
  },
];
