/** Holds answers to the OpenAPI document: whatever a test asks of a route, the document has said that it may be answered so. */

interface Described {
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
}

/** Throws where a route is answered with a status or a media type that its operation does not have. `path` may have a query. */
export type RequireDeclared = (method: string, path: string, response: Response) => void;

export function declaredIn(document: object): RequireDeclared {
  const addresses = Object.entries((document as OpenApi).paths)
    .map(([path, operations]) => ({
      pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
      parameters: path.split('{').length - 1,
      operations,
    }))
    // Of two that match, as the router has it: the one that says more.
    .sort((a, b) => a.parameters - b.parameters);
  return (method, path, { status, headers }) => {
    const [address = ''] = path.split('?');
    const operations = addresses.find(({ pattern }) => pattern.test(address))?.operations;
    const operation = operations?.[method === 'HEAD' ? 'get' : method.toLowerCase()];
    if (operation === undefined) return;
    const declared = operation.responses[status];
    const told = `${method} ${address} was answered ${status}`;
    if (declared === undefined) throw new Error(`${told}, which its operation does not have.`);
    const [type = ''] = (headers.get('content-type') ?? '').split(';');
    if (type !== '' && !Object.hasOwn(declared.content ?? {}, type))
      throw new Error(`${told} with ${type}, which is not declared.`);
  };
}
