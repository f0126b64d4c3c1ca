/** How long work ends when its process is told to: after the step at hand, or at once when it is told again. */
import type { DisposableProgress } from './progress.ts';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Hold it with `using`: signals end the process as ever once the work is done. */
export interface Interruption extends Disposable {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
}

/** First Ctrl-C or SIGTERM: stop after the step at hand and keep a checkpoint. Second: stop at once. */
export function interruptible(progress: DisposableProgress): Interruption {
  const controller = new AbortController();
  const ignore = () => {
    for (const signal of STOP_SIGNALS) process.off(signal, stop);
  };
  const stop = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      progress[Symbol.dispose]();
      ignore();
      // By the signal itself: `process.exit` stops threads that are inside onnxruntime, which then aborts with a core dump.
      process.kill(process.pid, signal);
      return;
    }
    progress.note('stopping after this step; once more to stop at once');
    controller.abort();
  };
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  return { signal: controller.signal, [Symbol.dispose]: ignore };
}
