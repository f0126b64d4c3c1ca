/** Structured log on stderr: stdout is for the `ready` line that scripts wait for. */
import { destination, type Logger, pino } from 'pino';

export function createLogger(level: string, node: string): Logger {
  return pino(
    { level, base: { node }, redact: ['token', '*.token', 'authorization', '*.authorization'] },
    destination({ dest: 2, sync: true }),
  );
}
