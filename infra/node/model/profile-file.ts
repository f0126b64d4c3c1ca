/** Measured times on disk, so that a node which starts again knows what its levels take before it has run them. */
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { writeDurably } from '../../../schema/artifact/write.ts';
import type { LatencyWindows, RecordedTimes } from './latency-window.ts';

const FILE = 'profiles.json';

const profilesSchema = z.strictObject({
  /** Times of another machine, provider or number of threads would mislead. */
  device: z.string(),
  times: z.array(
    z.strictObject({
      level: z.int().nonnegative(),
      length: z.int().nonnegative(),
      batch: z.int().positive(),
      timesMs: z.array(z.number().positive()).max(1024),
    }),
  ),
});

export interface ProfileFile {
  /** What was saved for this device; nothing where there is no such file, or none that can be read. */
  load(): Promise<readonly RecordedTimes[]>;
  save(times: readonly RecordedTimes[]): Promise<void>;
}

export function profileFile(directory: string, ep: string, workers: number): ProfileFile {
  const device = `${ep}, ${workers} threads, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`;
  /** One at a time: they share the name that a file has until it is whole. */
  let saving = Promise.resolve();
  return {
    async load() {
      const text = await readFile(join(directory, FILE), 'utf8').catch(() => '');
      try {
        const parsed = profilesSchema.safeParse(JSON.parse(text));
        return parsed.success && parsed.data.device === device ? parsed.data.times : [];
      } catch {
        // A file that is no JSON is as good as none: levels are measured anew.
        return [];
      }
    },
    save(times) {
      const bytes = new TextEncoder().encode(JSON.stringify({ device, times }));
      const saved = saving.then(() => writeDurably(directory, FILE, bytes));
      saving = saved.catch(() => {});
      return saved;
    },
  };
}

export interface KeptTimes {
  /** Takes up what was kept of levels up to the dense one. */
  restore(denseLevel: number): Promise<void>;
  save(): Promise<void>;
  /** Ends saving at even intervals. */
  stop(): void;
}

/** Between writings of measured times. */
const SAVE_MS = 60_000;

/** @param file undefined keeps nothing */
export function keepTimes(
  file: ProfileFile | undefined,
  windows: Pick<LatencyWindows, 'dump' | 'restore'>,
  log: Logger,
): KeptTimes {
  const save = async () => {
    await file
      ?.save(windows.dump())
      .catch((error: unknown) => log.warn({ err: error }, 'measured times could not be saved'));
  };
  const saving = setInterval(() => void save(), SAVE_MS);
  saving.unref();
  return {
    async restore(denseLevel) {
      const times = (await file?.load()) ?? [];
      windows.restore(times.filter(({ level }) => level <= denseLevel));
    },
    save,
    stop: () => clearInterval(saving),
  };
}
