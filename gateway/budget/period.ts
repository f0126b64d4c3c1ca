/** Periods that budgets and rate limits are counted by: calendar ones in UTC, windows at whole multiples of their length. */
import type { KeyBudget } from '../../schema/key-settings.ts';

/** A budget's period, or a window of so many seconds. */
export type Period = KeyBudget['period'] | { readonly windowS: number };

export interface PeriodAt {
  /** Differs from that of every other period. */
  readonly key: string;
  /** Milliseconds since the epoch; null for the period that never ends. */
  readonly endsAtMs: number | null;
}

export function periodAt(period: Period, nowMs: number): PeriodAt {
  if (typeof period === 'object') {
    const lengthMs = period.windowS * 1000;
    const index = Math.floor(nowMs / lengthMs);
    return { key: `${period.windowS}s/${index}`, endsAtMs: (index + 1) * lengthMs };
  }
  const now = new Date(nowMs);
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  const [day, hour] = [now.getUTCDate(), now.getUTCHours()];
  const text = now.toISOString();
  const periods = {
    total: () => ({ key: 'total', endsAtMs: null }),
    month: () => ({ key: text.slice(0, 7), endsAtMs: Date.UTC(year, month + 1) }),
    day: () => ({ key: text.slice(0, 10), endsAtMs: Date.UTC(year, month, day + 1) }),
    hour: () => ({ key: text.slice(0, 13), endsAtMs: Date.UTC(year, month, day, hour + 1) }),
  } as const satisfies Record<KeyBudget['period'], () => PeriodAt>;
  return periods[period]();
}
