/** The least time that is to be had at each cost or less: of what is dearer and no quicker than another nothing is kept. */
export class QuickestByCost {
  /** Ascending, with times that descend. */
  readonly #costs: number[] = [];
  readonly #ms: number[] = [];

  msAt(cost: number): number {
    return this.#ms[this.#behind(cost) - 1] ?? Number.POSITIVE_INFINITY;
  }

  take(cost: number, ms: number): void {
    if (this.msAt(cost) <= ms) return;
    const behind = this.#behind(cost);
    const from = this.#costs[behind - 1] === cost ? behind - 1 : behind;
    let to = behind;
    while (to < this.#ms.length && (this.#ms[to] as number) >= ms) to++;
    this.#costs.splice(from, to - from, cost);
    this.#ms.splice(from, to - from, ms);
  }

  /** The place of the first that costs more. */
  #behind(cost: number): number {
    let [low, high] = [0, this.#costs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#costs[middle] as number) <= cost) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
