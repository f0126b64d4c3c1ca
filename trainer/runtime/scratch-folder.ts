/**
 * Temporary folders that do not outlive their process: removed when it ends or is told to end, and by the next process where it was
 * killed outright.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive } from '../../schema/process-alive.ts';

/** Processes of other machines and containers may share the folder, and their numbers mean nothing here. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
const PREFIX = 'solution-path-';
const OWN = new RegExp(`^${PREFIX}${HOST}-(\\d+)-`);
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const held = new Set<string>();

/** A new, empty folder of this process; see `discardFolder`. */
export function scratchFolder(): string {
  prepare();
  const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${HOST}-${process.pid}-`));
  held.add(folder);
  return folder;
}

/** Removes a scratch folder before its process ends; leaves any other folder alone. */
export function discardFolder(folder: string): void {
  if (held.delete(folder)) rmSync(folder, { recursive: true, force: true });
}

let prepared = false;

function prepare(): void {
  if (prepared) return;
  prepared = true;
  sweep();
  process.once('exit', discardAll);
  for (const signal of ENDING) {
    const end = () => {
      // Where somebody else listens, they decide whether to go on.
      if (process.listenerCount(signal) > 1) return;
      discardAll();
      process.off(signal, end);
      process.kill(process.pid, signal);
    };
    process.on(signal, end);
  }
}

function discardAll(): void {
  for (const folder of held) discardFolder(folder);
}

/** What processes left that are no more. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = OWN.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner)))
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}
