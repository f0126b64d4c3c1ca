/**
 * The secret that is shown to nodes. While it is changed, some know the new one and some still the one before: each is shown
 * the one that it took last, and the other when it refuses that, so that no request fails for it.
 */
export interface NodeSecrets {
  /** Whether there are two. */
  readonly changing: boolean;
  /** @param node its name */
  of(node: string): string;
  /** @returns the other secret, to be tried once; undefined where there is none */
  insteadOf(refused: string): string | undefined;
  /** That the node takes. */
  taken(node: string, secret: string): void;
}

/** @param before undefined unless the secret is being changed */
export function nodeSecrets(current: string, before: string | undefined): NodeSecrets {
  const behind = new Set<string>();
  return {
    changing: before !== undefined,
    of: (node) => (before !== undefined && behind.has(node) ? before : current),
    insteadOf: (refused) => (refused === current ? before : current),
    taken(node, secret) {
      if (secret === before) behind.add(node);
      else behind.delete(node);
    },
  };
}

/**
 * Asks a node with its secret, and once more with the other one where it refuses that.
 * @param ask can be called twice
 */
export async function withSecret(
  secrets: NodeSecrets,
  node: string,
  ask: (secret: string) => Promise<Response>,
): Promise<Response> {
  const shown = secrets.of(node);
  const response = await ask(shown);
  const other = response.status === 401 ? secrets.insteadOf(shown) : undefined;
  if (other === undefined) return response;
  await response.body?.cancel();
  const second = await ask(other);
  if (second.status !== 401) secrets.taken(node, other);
  return second;
}
