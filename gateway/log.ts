/** One JSON line for each thing an operator should see. Never a token, a body, or a database's bound values. */

export function logFailure(
  event: string,
  error: unknown,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  console.error(JSON.stringify({ level: 'error', event, ...fields, causes: causesOf(error) }));
}

/** Something that happened as it should. */
export function logEvent(event: string, fields: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify({ level: 'info', event, ...fields }));
}

/** What went wrong, outermost first. drizzle's own message repeats the statement with its values, so it is left out. */
function causesOf(error: unknown): string[] {
  const causes: string[] = [];
  for (let at = error; at instanceof Error && causes.length < 5; at = at.cause) {
    if (!('query' in at && 'params' in at)) causes.push(`${at.name}: ${at.message}`);
  }
  return causes;
}
