/** Structured log on stderr: stdout is for the `ready` line that scripts wait for. */
import { writeSync } from 'node:fs';
import { type DestinationStream, type Logger, pino } from 'pino';

const STDERR = 2;

/** A line that cannot be written, as where the disk is full that takes the log, is lost: that ends no service, and nothing is held for it. */
const stderr: DestinationStream = {
  write(line) {
    try {
      writeSync(STDERR, line);
    } catch {
      // There is nowhere to tell.
    }
  },
};

export function createLogger(level: string, node: string): Logger {
  return pino(
    { level, base: { node }, redact: ['token', '*.token', 'authorization', '*.authorization'] },
    stderr,
  );
}
