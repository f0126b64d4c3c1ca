/** A value in the text of an error: what prom-client takes Node's `util` for. */

export function inspect(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

export { inspect as format };
