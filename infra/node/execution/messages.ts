/** What the pool and its threads say to each other. A thread is given one `run` or `prepare` at a time and answers each once. */
import type { RawTensor } from '../tensors.ts';
import type { Turns } from './turns.ts';

export interface ThreadData {
  /** onnxruntime execution provider. */
  readonly ep: string;
  /** Shared with all threads of the process, where the provider is not made for several. */
  readonly turns?: Turns;
}

/** A level's ONNX model: whole, in shared memory, so that threads get no copy each; or a file, beside the file of weights that it maps. */
export type ModelData =
  | { readonly kind: 'whole'; readonly bytes: Uint8Array<SharedArrayBuffer> }
  | {
      readonly kind: 'views';
      readonly path: string;
      /** Whether convolutions are worth a copy of their weights in blocks of channels for each session that is not packed; true unless told. */
      readonly blocksConvolutions?: boolean;
    };

/**
 * Whether a session has the weights in the order in which its kernels read them, which is faster: `no`, it computes on them
 * as they lie; in a copy of its own, a whole level's memory for each thread; in a packed model's file at a path, which
 * all threads map; or as far as they are in another level's packed file, by a model that lies beside it. A whole model always
 * makes a copy.
 */
export type Packed = 'no' | 'copy' | `file:${string}` | `beside:${string}`;

export interface ThreadModel {
  readonly data: ModelData;
  readonly packed: Packed;
}

export type ToThread =
  | {
      readonly kind: 'run';
      readonly level: number;
      /** Given where the thread has no session for the level. */
      readonly model: ThreadModel | undefined;
      readonly feeds: readonly RawTensor[];
      readonly outputs: readonly string[];
      /** Whether the feeds' memory goes back with the answer: it was moved here, not copied. */
      readonly returnFeeds: boolean;
      /** How long to look out for the next message without sleeping, once this is answered: a core that has slept is slow to begin. */
      readonly lingerMs: number;
    }
  /** Have a session of the level ready; one that is there already is exchanged. */
  | { readonly kind: 'prepare'; readonly level: number; readonly model: ThreadModel }
  | { readonly kind: 'unload'; readonly level: number }
  /** End, after what was asked before. */
  | { readonly kind: 'end' };

export type FromThread =
  | { readonly kind: 'ready' }
  /** `runMs`: onnxruntime's own part, from tensors to tensors. */
  | {
      readonly kind: 'done';
      readonly outputs: readonly RawTensor[];
      readonly loadMs: number;
      readonly runMs: number;
      /** The feeds' memory, where it was to come back. */
      readonly spare: readonly ArrayBuffer[];
    }
  | { readonly kind: 'prepared'; readonly loadMs: number }
  /** onnxruntime refused: to `load` a model, or to `run` an input. The thread itself is well. */
  | { readonly kind: 'failed'; readonly stage: 'load' | 'run'; readonly message: string };
