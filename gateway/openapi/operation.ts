/** What the OpenAPI document says of one route. */
import type { z } from 'zod';
import type { ProblemCode } from '../../schema/errors.ts';
import type { HeaderName } from './headers.ts';

/** A body or an answer: JSON of a schema, or other media types. */
export interface Content {
  readonly json?: z.ZodType;
  /** Media types whose content no schema describes. */
  readonly other?: readonly string[];
}

export interface Operation {
  readonly tag: 'inference' | 'policy' | 'keys' | 'fleet' | 'operation' | 'artifacts' | 'documents';
  readonly summary: string;
  /** Request headers beside Authorization. */
  readonly headers?: readonly HeaderName[];
  readonly query?: z.ZodObject;
  readonly body?: Content;
  /** By status; null for an answer without a body. */
  readonly answers: Readonly<Record<number, Content | null>>;
  /** Answer headers by name, with what they are. */
  readonly tells?: Readonly<Record<string, string>>;
  /** Beyond those that the access, the body and the parameters of every route bring. */
  readonly problems?: readonly ProblemCode[];
}
