/**
 * One folder for weights that lie in several: a session reads from no more. Files of others get a second name there (a hard link), which
 * copies nothing.
 */
import { createHash } from 'node:crypto';
import { linkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { scratchFolder } from '../runtime/scratch-folder.ts';
import type { FilePlace } from './deferred.ts';

export interface WeightFolder {
  readonly folder: string;
  /** A file's name there; undefined where it cannot be had there. */
  nameOf(place: FilePlace): string | undefined;
}

/** Names by file, in the one folder that holds them. */
const linked = new Map<string, string>();
let shared: string | undefined;

/** @returns undefined where there are no places; the folder with most bytes where file systems allow no links between them */
export function weightFolder(places: readonly FilePlace[]): WeightFolder | undefined {
  const sizes = new Map<string, number>();
  for (const { folder, bytes } of places) sizes.set(folder, (sizes.get(folder) ?? 0) + bytes);
  const [most] = [...sizes].sort(([, a], [, b]) => b - a);
  if (!most) return undefined;
  const [main] = most;
  const own: WeightFolder = {
    folder: main,
    nameOf: ({ folder, file }) => (folder === main ? file : undefined),
  };
  if (sizes.size === 1) return own;
  if (!canBeLinked(places)) return own;
  return { folder: shared as string, nameOf: (place) => linked.get(keyOf(place)) };
}

/** Whether files can be had in the one folder: not where they lie on another file system. */
export function canBeLinked(places: readonly FilePlace[]): boolean {
  try {
    for (const place of places) link(place);
    return true;
  } catch {
    return false;
  }
}

function keyOf({ folder, file }: FilePlace): string {
  return join(folder, file);
}

function link(place: FilePlace): void {
  const path = keyOf(place);
  if (linked.has(path)) return;
  shared ??= scratchFolder();
  const name = `${createHash('sha256').update(path).digest('hex').slice(0, 8)}-${basename(path)}`;
  linkSync(path, join(shared, name));
  linked.set(path, name);
}
