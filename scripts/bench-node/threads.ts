/** Threads of a file beside this one that answer each message once. */
import { Worker } from 'node:worker_threads';

export type Ask<Question, Answer> = (question: Question) => Promise<Answer>;

export async function threads<Question, Answer>(
  file: string,
  count: number,
  data: unknown,
): Promise<{ ask: Ask<Question, Answer>[]; end(): Promise<void> }> {
  const opened = Array.from({ length: count }, () => {
    const worker = new Worker(new URL(file, import.meta.url), { workerData: data });
    // A thread that fails ends the benchmark.
    worker.on('error', (error) => {
      throw error;
    });
    const next = () => new Promise<unknown>((resolve) => worker.once('message', resolve));
    return { worker, next };
  });
  await Promise.all(opened.map(({ next }) => next()));
  return {
    ask: opened.map(({ worker, next }) => (question) => {
      const answer = next();
      worker.postMessage(question);
      return answer as Promise<Answer>;
    }),
    end: async () => {
      await Promise.all(opened.map(({ worker }) => worker.terminate()));
    },
  };
}
