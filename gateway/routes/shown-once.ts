/** Answers that hold a secret, which nothing can show again. */

/** @param location address of what the secret belongs to */
export function shownOnce(document: object, location: string, status: 200 | 201 = 201): Response {
  return Response.json(document, { status, headers: { 'cache-control': 'no-store', location } });
}

const DAY_MS = 86_400_000;

/** @returns null for what does not expire */
export function expiry(nowMs: number, inDays: number | undefined): number | null {
  return inDays === undefined ? null : nowMs + Math.round(inDays * DAY_MS);
}
