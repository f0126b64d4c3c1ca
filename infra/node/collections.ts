/** Collections of garbage on the calling thread: what waits stands still meanwhile. */
import { constants, PerformanceObserver } from 'node:perf_hooks';

/** `major` looks at all of the heap, `minor` at what is new; `start` begins a major one ahead, which goes on between other work, unseen. */
export type CollectionKind = 'major' | 'minor' | 'start';

const KINDS: ReadonlyMap<unknown, CollectionKind> = new Map<unknown, CollectionKind>([
  [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
  [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'start'],
]);

/**
 * @param onCollection called soon after each
 * @returns to be called when nobody wants to know any more
 */
export function observeCollections(
  onCollection: (kind: CollectionKind, seconds: number) => void,
): () => void {
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind: code } = (entry as { readonly detail?: { readonly kind?: number } }).detail ?? {};
      const kind = KINDS.get(code);
      if (kind !== undefined) onCollection(kind, entry.duration / 1000);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return () => observer.disconnect();
}
