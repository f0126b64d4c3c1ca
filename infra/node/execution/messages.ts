/** What the pool and its threads say to each other. A thread is given one `run` at a time and answers each once. */
import type { RawTensor } from '../tensors.ts';

export interface ThreadData {
  /** onnxruntime execution provider. */
  readonly ep: string;
}

export type ToThread =
  | {
      readonly kind: 'run';
      readonly level: number;
      /** Given where the thread has no session for the level; in shared memory, so that threads get no copy each. */
      readonly model: Uint8Array<SharedArrayBuffer> | undefined;
      readonly feeds: readonly RawTensor[];
      readonly outputs: readonly string[];
    }
  | { readonly kind: 'unload'; readonly level: number }
  /** End, after what was asked before. */
  | { readonly kind: 'end' };

export type FromThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly outputs: readonly RawTensor[]; readonly loadMs: number }
  /** onnxruntime refused: to `load` a model, or to `run` an input. The thread itself is well. */
  | { readonly kind: 'failed'; readonly stage: 'load' | 'run'; readonly message: string };
