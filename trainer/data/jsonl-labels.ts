/** Labels as they come, record by record: whole numbers are classes as they stand, names in alphabetical order. */
import type { Targets } from './dataset.ts';

export class LabelList {
  private readonly given: number[] = [];
  private readonly names = new Map<string, number>();

  add(label: string | number | undefined): void {
    if (label === undefined) return;
    if (typeof label === 'number') {
      this.given.push(label);
      return;
    }
    const place = this.names.get(label) ?? this.names.size;
    this.names.set(label, place);
    this.given.push(place);
  }

  finish(): { labels?: Int32Array; targets?: Targets } {
    if (this.given.length === 0) return {};
    if (this.names.size === 0) {
      const count = this.given.reduce((a, b) => Math.max(a, b), 0) + 1;
      const names = Array.from({ length: count }, (_, i) => String(i));
      return { labels: Int32Array.from(this.given), targets: { kind: 'class', names } };
    }
    const names = [...this.names.keys()];
    const sorted = names.toSorted();
    const places = names.map((name) => sorted.indexOf(name));
    return {
      labels: Int32Array.from(this.given, (place) => places[place] as number),
      targets: { kind: 'class', names: sorted },
    };
  }
}
