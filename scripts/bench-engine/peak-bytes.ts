import { existsSync, readFileSync } from 'node:fs';

/** Of this process alone, where Linux says: the usual count begins with the peak of whoever started it. */
export function peakBytes(): number {
  const status = existsSync('/proc/self/status') ? readFileSync('/proc/self/status', 'utf8') : '';
  const own = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return (own === undefined ? process.resourceUsage().maxRSS : Number(own)) * 1024;
}
