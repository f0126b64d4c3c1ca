/** What V8 does beside the program, on cores that requests need: compile, and collect garbage. */
import { setFlagsFromString } from 'node:v8';
import { letHelpersGiveWay } from './execution/give-way.ts';

/**
 * By how much the heap may grow, in percent of what lives in it, before all of it is collected. Left to itself V8 takes a few
 * megabytes of bodies that have come since, which are gone at the next small collection, for a reason to do so twice a second:
 * each time the main thread stands still for 5 to 15 ms, and what waits meanwhile is late.
 */
const HEAP_GROWING_PERCENT = 200;

/**
 * How much of that growth, in percent, there has been when collecting begins. By V8's own rule that is when less is left than the youngest objects
 * may take, which is nearly always: it came every six seconds at a thousand requests a second. Collecting marks what lives on other threads meanwhile, on
 * cores that runs need, for some 30 ms in which everything takes twice as long.
 */
const COLLECTS_FROM_PERCENT = 90;

/** To be called at the start of the program, once. */
export function setUpEngine(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  setFlagsFromString(`--incremental-marking-soft-trigger=${COLLECTS_FROM_PERCENT}`);
  // The main thread would wait for helpers that wait for a core; what it collects by itself takes a millisecond or two.
  setFlagsFromString('--no-parallel-scavenge');
  letHelpersGiveWay();
}
