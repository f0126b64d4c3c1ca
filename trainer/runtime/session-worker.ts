/** Worker thread of a session pool: sessions by number, each on its own threads. */
import type { Tensor } from '../graph/graph.ts';
import { createOrtSession, type OrtModel, type OrtSession, type Provider } from './ort-session.ts';
import { answerQuestions } from './worker-pool.ts';

export type SessionQuestion =
  | {
      readonly kind: 'open';
      readonly id: number;
      readonly model: OrtModel;
      readonly threads: number;
      readonly provider: Provider;
    }
  | {
      readonly kind: 'run';
      readonly id: number;
      readonly feeds: Readonly<Record<string, Tensor>>;
      readonly outputs: readonly string[] | undefined;
    }
  | { readonly kind: 'close'; readonly id: number };

export interface SessionAnswer {
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Of the run alone. */
  readonly elapsedMs: number;
}

const sessions = new Map<number, OrtSession>();

answerQuestions<SessionQuestion, SessionAnswer>(
  async (question) => {
    if (question.kind === 'open') {
      const { threads, provider } = question;
      sessions.set(question.id, await createOrtSession(question.model, { threads, provider }));
      return { answer: { outputs: {}, elapsedMs: 0 } };
    }
    const session = sessions.get(question.id);
    if (question.kind === 'close') {
      sessions.delete(question.id);
      await session?.close();
      return { answer: { outputs: {}, elapsedMs: 0 } };
    }
    if (session === undefined) throw new Error(`There is no session ${question.id}.`);
    const started = performance.now();
    const outputs = await session.run(question.feeds, question.outputs);
    return {
      answer: { outputs, elapsedMs: performance.now() - started },
      transfer: ownBuffers(Object.values(outputs)),
    };
  },
  async () => {
    for (const session of sessions.values()) await session.close();
  },
);

/** Results that have a buffer to themselves go along without a copy. */
function ownBuffers(tensors: readonly Tensor[]): ArrayBuffer[] {
  const buffers = tensors.flatMap(({ data }) =>
    data.buffer instanceof ArrayBuffer && data.byteLength === data.buffer.byteLength ? [data.buffer] : [],
  );
  return [...new Set(buffers)];
}
