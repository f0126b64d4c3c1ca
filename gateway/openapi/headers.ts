/** Request headers of the interface, as OpenAPI parameters. */

interface HeaderDoc {
  readonly description: string;
  readonly required?: boolean;
  /** JSON Schema of the value's text. */
  readonly schema: { readonly type: 'string'; readonly pattern?: string; readonly enum?: readonly string[] };
}

const decimal = '(?:0|[1-9][0-9]{0,8})(?:\\.[0-9]{1,30})?';

const requestHeaders = {
  'x-latency-budget': {
    description:
      'Milliseconds that the request may take, from when the gateway has it: `40`, `40ms` or `1.5s`. The policy’s default without it.',
    schema: { type: 'string', pattern: `^${decimal}(?:ms|s)?$` },
  },
  'x-cost-budget': {
    description: 'US dollars that the request may cost: `0.0005`, or micro-dollars as `500u`.',
    schema: { type: 'string', pattern: `^(?:0|[1-9][0-9]{0,5})(?:\\.[0-9]{1,30})?u?$` },
  },
  'x-min-quality': {
    description: 'Quality below which no answer is wanted, from 0 to 1.',
    schema: { type: 'string', pattern: '^(?:0(?:\\.[0-9]{1,30})?|1)$' },
  },
  'x-sla-class': {
    description: 'Class of the policy to be served in; the key’s or the policy’s default without it.',
    schema: { type: 'string', pattern: '^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$' },
  },
  'x-explain': {
    description:
      '`1` asks for the reasons of the decision in `X-Path-Explanation`; the key must be allowed to.',
    schema: { type: 'string', enum: ['0', '1'] },
  },
  'if-match': {
    description: 'ETag of the policy that was read, or `*`. What is no ETag matches nothing.',
    required: true,
    schema: { type: 'string' },
  },
  range: {
    description: 'One range of bytes, or so many from the end: `bytes=0-99`, `bytes=100-`, `bytes=-100`.',
    schema: { type: 'string', pattern: '^bytes=(?:[0-9]{1,15}-[0-9]{0,15}|-[0-9]{1,15})$' },
  },
  'if-none-match': {
    description: 'ETag that is held already.',
    schema: { type: 'string', pattern: '^"[0-9a-f]{64}"$' },
  },
  'if-range': {
    description: 'ETag that the range continues.',
    schema: { type: 'string', pattern: '^"[0-9a-f]{64}"$' },
  },
  'x-content-sha256': {
    description: 'The file’s sha256 in hex.',
    required: true,
    schema: { type: 'string', pattern: '^[0-9a-f]{64}$' },
  },
} as const satisfies Record<string, HeaderDoc>;

export type HeaderName = keyof typeof requestHeaders;

export function headerParameters(names: readonly HeaderName[]): object[] {
  return names.map((name) => {
    const { description, schema, ...rest }: HeaderDoc = requestHeaders[name];
    return { name, in: 'header', description, required: rest.required ?? false, schema };
  });
}
