/** A thread that is asked one thing after the other and answers in that order; what it is asked fails when it dies. */
import { Worker } from 'node:worker_threads';
import type { FromThread, ThreadData, ToThread } from './messages.ts';
import { createTurns } from './turns.ts';

/** What is needed of a worker thread. */
export interface Thread {
  postMessage(message: ToThread, transfer?: readonly ArrayBuffer[]): void;
  on(event: 'message', listener: (message: FromThread) => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
}

export type SpawnThread = (data: ThreadData) => Thread;

/** The thread ended under its task. */
export class WorkerLost extends Error {
  override readonly name = 'WorkerLost';
  /** Whether it can have been at the task; false where that lay behind another. */
  readonly begun: boolean;

  constructor(message: string, begun = true) {
    super(message);
    this.begun = begun;
  }
}

export interface Answered {
  readonly message: FromThread;
  /** When what was asked before it was answered; undefined where nothing was. */
  readonly afterMs: number | undefined;
}

export interface AskedThread {
  /** How much it has been asked and has not answered yet. */
  readonly unanswered: number;
  /** Rejects with `WorkerLost` when the thread ends first. */
  ask(message: ToThread, transfer?: readonly ArrayBuffer[]): Promise<Answered>;
  /** What has no answer. */
  tell(message: ToThread): void;
  /** Lets it answer what it was asked, and end; resolves when it has, or is left to a run that takes long, whose askers are told so. */
  end(): Promise<void>;
}

export interface ThreadEvents {
  readonly onReady: () => void;
  /**
   * Called when the thread has ended, before what it was asked is rejected.
   * @param code its exit code
   * @param reason the error it ended with, if any
   * @returns what those who asked are told
   */
  readonly onEnd: (code: number, reason: string) => string;
}

interface Asked {
  answer(message: FromThread): void;
  lost(error: WorkerLost): void;
  afterMs: number | undefined;
}

/** A thread ends when its present run does, and nobody waits for one that takes longer than this. */
const LONGEST_END_MS = 10_000;

/** onnxruntime's WebGPU has one device and one command encoder for all sessions of a process. */
const webgpuTurns = createTurns();

let alive = 0;

/** How many session threads of this process have not ended. */
export const sessionThreads = (): number => alive;

export function spawnSessionThread({ ep }: Pick<ThreadData, 'ep'>): Worker {
  const workerData: ThreadData = ep === 'webgpu' ? { ep, turns: webgpuTurns } : { ep };
  const thread = new Worker(new URL('./session-thread.ts', import.meta.url), { workerData });
  alive++;
  return thread.once('exit', () => alive--);
}

export function askedThread(thread: Thread, { onReady, onEnd }: ThreadEvents): AskedThread {
  const waiting: Asked[] = [];
  let reason = 'it ended';
  thread.on('message', (message) => {
    if (message.kind === 'ready') return onReady();
    const answered = waiting.shift();
    const next = waiting[0];
    if (next !== undefined) next.afterMs = performance.now();
    answered?.answer(message);
  });
  thread.on('error', (error) => {
    reason = error instanceof Error ? error.message : String(error);
  });
  thread.on('exit', (code) => {
    const message = onEnd(code, reason);
    for (const [i, { lost }] of waiting.splice(0).entries()) lost(new WorkerLost(message, i === 0));
  });
  return {
    get unanswered() {
      return waiting.length;
    },
    ask: (message, transfer = []) =>
      new Promise((resolve, reject) => {
        const asked: Asked = {
          answer: (answer) => resolve({ message: answer, afterMs: asked.afterMs }),
          lost: reject,
          afterMs: undefined,
        };
        // What cannot be sent, as for want of memory, has no answer: those of others would go to the wrong asker.
        thread.postMessage(message, transfer);
        waiting.push(asked);
      }),
    tell: (message) => thread.postMessage(message),
    async end() {
      thread.postMessage({ kind: 'end' });
      // Terminating a thread inside onnxruntime aborts the whole process, which may serve another version by now.
      await new Promise<void>((resolve) => {
        const limit = setTimeout(() => {
          for (const { lost } of waiting.splice(0))
            lost(new WorkerLost('A worker thread did not end in time.'));
          resolve();
        }, LONGEST_END_MS);
        thread.on('exit', () => {
          clearTimeout(limit);
          resolve();
        });
      });
    },
  };
}
