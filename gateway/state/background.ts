/** Work that goes on behind a request's answer, and whether there is any. */
import type { Background } from './cell.ts';

/**
 * The runtime drops whatever a request has begun as soon as it is answered, unless work of its own keeps it: then what is
 * not wanted any more has to be stopped by hand.
 */
export class RequestBackground implements Background {
  readonly #context: Background;
  #kept = false;

  constructor(context: Background) {
    this.#context = context;
  }

  /** Whether anything of this request outlives its answer. */
  get kept(): boolean {
    return this.#kept;
  }

  waitUntil(work: Promise<unknown>): void {
    this.#kept = true;
    this.#context.waitUntil(work);
  }
}
