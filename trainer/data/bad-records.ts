/** Records that cannot be used: named with file and line, counted, and too many of them end the run. */
import { SppError } from '../../schema/errors.ts';
import { type DataSettings, DEFAULT_MAX_BAD } from './data-settings.ts';

const SHOWN = 5;

export class BadRecords {
  private readonly first: string[] = [];
  private count = 0;

  /** @param where file, and line or place in it */
  add(where: string, why: string): void {
    this.count++;
    if (this.first.length < SHOWN) this.first.push(`${where}: ${why}`);
  }

  /** More than may be. */
  tooMany(total: number, { maxBad = DEFAULT_MAX_BAD }: DataSettings): boolean {
    return this.count > maxBad * total || (this.count > 0 && this.count >= total);
  }

  /**
   * Tells of what was left out.
   * @param total records read, the bad ones included
   * @throws `bad-data` when more than the allowed share is bad, or nothing is left
   */
  settle(source: string, total: number, settings: DataSettings): void {
    const { maxBad = DEFAULT_MAX_BAD, note } = settings;
    if (this.count === 0) return;
    const more = this.count > SHOWN ? `; and ${this.count - SHOWN} more` : '';
    const message = `${source}: ${this.count} of ${total} records are bad: ${this.first.join('; ')}${more}`;
    if (this.tooMany(total, settings)) {
      throw new SppError('bad-data', `${message}.`, {
        hint: `At most ${(100 * maxBad).toFixed(1)} % may be bad (--max-bad).`,
        details: { bad: this.count, total },
      });
    }
    note?.(`${message}; they are left out`);
  }
}
