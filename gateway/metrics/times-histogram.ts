/**
 * A Prometheus histogram of times whose series are kept by whoever counts: with each time two numbers grow, where prom-client's own
 * makes text of labels and bounds. Its registry takes this for one of its metrics.
 */

/** Of one series. */
export interface Times {
  observe(seconds: number): void;
}

interface Series {
  readonly labels: Readonly<Record<string, string>>;
  /** By bucket, one more for what is beyond the last bound. */
  readonly counts: number[];
  sum: number;
}

interface Line {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export class TimesHistogram {
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly name: string;
  readonly help: string;
  readonly #bounds: readonly number[];
  readonly #series: Series[] = [];

  /** @param bounds of the buckets in seconds, the smallest first */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name;
    this.help = help;
    this.#bounds = bounds;
  }

  /** A new series: there is none for these labels yet. */
  of(labels: Readonly<Record<string, string>>): Times {
    const bounds = this.#bounds;
    const series: Series = { labels, counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 };
    this.#series.push(series);
    return {
      observe(seconds) {
        let bucket = 0;
        while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket++;
        series.counts[bucket] = (series.counts[bucket] as number) + 1;
        series.sum += seconds;
      },
    };
  }

  /** What a registry asks of each of its metrics. */
  async get() {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.#series.flatMap((series) => this.#lines(series)) };
  }

  #lines({ labels, counts, sum }: Series): Line[] {
    let upTo = 0;
    const buckets = counts.map((count, bucket) => {
      upTo += count;
      const le = this.#bounds[bucket] ?? '+Inf';
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: upTo };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: upTo },
    ];
  }
}
