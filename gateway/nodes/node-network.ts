/** The way to the nodes: the binding of the deployment's where it has one, else the runtime's own `fetch`. */

export interface NodeNetwork {
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** @param binding such as a client certificate for mutual TLS; undefined for the runtime's own way */
export function nodeNetwork(binding: NodeNetwork | undefined): NodeNetwork {
  return binding ?? { fetch: (url, init) => fetch(url, init) };
}
