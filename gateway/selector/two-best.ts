/** The two best of what is looked at, cell by cell or row by row: nothing is allocated on the way. */
import { NONE } from './cells.ts';

/** The two best cells of the rows so far: the higher score, then the lower price, then the row that comes first, in whatever order they are looked at. */
export class TopTwo {
  best = NONE;
  bestScore = 0;
  bestPrice = 0;
  second = NONE;
  secondScore = 0;
  secondPrice = 0;

  /** Takes in the two best of a row, the better one first; `next` is `NONE` where a row has but one. */
  take(cell: number, score: number, price: number, next: number, nextScore: number, nextPrice: number): void {
    if (beats(this.best, this.bestScore, this.bestPrice, cell, score, price)) {
      if (next !== NONE && beats(this.best, this.bestScore, this.bestPrice, next, nextScore, nextPrice))
        this.#setSecond(next, nextScore, nextPrice);
      else this.#setSecond(this.best, this.bestScore, this.bestPrice);
      this.best = cell;
      this.bestScore = score;
      this.bestPrice = price;
    } else if (beats(this.second, this.secondScore, this.secondPrice, cell, score, price))
      this.#setSecond(cell, score, price);
  }

  #setSecond(cell: number, score: number, price: number): void {
    this.second = cell;
    this.secondScore = score;
    this.secondPrice = price;
  }
}

/** The two cells of the least times, of equal ones the first. */
export class LeastTwo {
  first = NONE;
  firstMs = Number.POSITIVE_INFINITY;
  next = NONE;
  nextMs = Number.POSITIVE_INFINITY;

  take(cell: number, ms: number): void {
    if (ms < this.firstMs) {
      this.next = this.first;
      this.nextMs = this.firstMs;
      this.first = cell;
      this.firstMs = ms;
    } else if (ms < this.nextMs) {
      this.next = cell;
      this.nextMs = ms;
    }
  }
}

/** Whether a cell is better than one of another row that is held. */
function beats(
  held: number,
  heldScore: number,
  heldPrice: number,
  cell: number,
  score: number,
  price: number,
): boolean {
  if (held === NONE || score > heldScore) return true;
  return score === heldScore && (price < heldPrice || (price === heldPrice && cell < held));
}
