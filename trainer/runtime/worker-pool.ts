/** Worker threads that take questions from one queue: each has the next one there before it is done with the one at hand. */
import { once } from 'node:events';
import { type MessagePort, parentPort, type TransferListItem, Worker } from 'node:worker_threads';
import { type ProblemCode, SppError } from '../../schema/errors.ts';

export interface WorkerPool<Question, Answer> {
  readonly size: number;
  /** Answered by whichever thread comes to it first. @throws what the thread threw, or `internal` when it died */
  ask(question: Question, transfer?: readonly TransferListItem[]): Promise<Answer>;
  /** Answered by every thread. */
  askAll(question: Question): Promise<Answer[]>;
  /** Threads end when they have answered what they were asked. */
  close(): Promise<void>;
}

type Reply<Answer> =
  | { readonly answer: Answer }
  | { readonly code: ProblemCode | undefined; readonly message: string; readonly hint: string | undefined };

interface Asked<Question, Answer> extends PromiseWithResolvers<Answer> {
  readonly question: Question;
  readonly transfer: readonly TransferListItem[];
}

interface Member<Question, Answer> {
  readonly worker: Worker;
  /** What this thread alone is to answer, before anything of the common queue. */
  readonly own: Asked<Question, Answer>[];
  /** What was sent to the thread and is not answered yet, in its order. */
  readonly sent: Asked<Question, Answer>[];
  dead: Error | undefined;
}

/** Questions that a thread has at a time: one to work on, and one for when whoever asks is busy as that is answered. */
const AT_ONCE = 2;

/** @param script calls `answerQuestions` */
export function startWorkerPool<Question, Answer>(script: URL, size: number): WorkerPool<Question, Answer> {
  const queue: Asked<Question, Answer>[] = [];
  const members = Array.from({ length: size }, () => startMember());

  function startMember(): Member<Question, Answer> {
    const worker = new Worker(script);
    const member: Member<Question, Answer> = { worker, own: [], sent: [], dead: undefined };
    worker.on('message', (reply: Reply<Answer>) => {
      const asked = member.sent.shift();
      if ('answer' in reply) asked?.resolve(reply.answer);
      else asked?.reject(thrownThere(reply));
      fill(member, AT_ONCE);
    });
    const die = (reason: string, cause?: unknown) => {
      member.dead ??= new SppError('internal', `A worker thread died: ${reason}.`, {
        hint: 'Often memory: use a smaller batch or fewer workers. A checkpointed run goes on with --resume.',
        cause,
      });
      for (const asked of [...member.sent.splice(0), ...member.own.splice(0)]) asked.reject(member.dead);
      if (members.every(({ dead }) => dead)) for (const asked of queue.splice(0)) asked.reject(member.dead);
    };
    worker.on('error', (error) => die((error as Error).message, error));
    worker.on('exit', (code) => die(`it ended with code ${code}`));
    return member;
  }

  function fill(member: Member<Question, Answer>, most: number): void {
    while (member.sent.length < most && !member.dead) {
      const asked = member.own.shift() ?? queue.shift();
      if (asked === undefined) return;
      member.sent.push(asked);
      member.worker.postMessage({ question: asked.question }, asked.transfer as TransferListItem[]);
    }
  }

  function enter(question: Question, transfer: readonly TransferListItem[], only?: Member<Question, Answer>) {
    const asked = { question, transfer, ...Promise.withResolvers<Answer>() };
    const dead = only === undefined ? members.find(({ dead: why }) => why) : only;
    if (dead?.dead) asked.reject(dead.dead);
    else (only?.own ?? queue).push(asked);
    // Nobody gets a second question while another has none.
    for (let most = 1; most <= AT_ONCE; most++)
      for (const member of only === undefined ? members : [only]) fill(member, most);
    return asked.promise;
  }

  return {
    size,
    ask: (question, transfer = []) => enter(question, transfer),
    async askAll(question) {
      // All are waited for, also when one fails: a thread must not be left in the middle of it.
      const outcomes = await Promise.allSettled(members.map((member) => enter(question, [], member)));
      return outcomes.map((outcome) => {
        if (outcome.status === 'rejected') throw outcome.reason;
        return outcome.value;
      });
    },
    async close() {
      await Promise.all(
        members.map(async ({ worker, dead }) => {
          if (dead) return;
          const ended = once(worker, 'exit');
          // A thread that is stopped inside onnxruntime takes the process with it, so it is asked to end.
          worker.postMessage('end');
          await ended;
        }),
      );
    },
  };
}

function thrownThere({ code, message, hint }: Exclude<Reply<never>, { answer: never }>): SppError {
  return new SppError(code ?? 'internal', message, hint === undefined ? {} : { hint });
}

export interface Given<Answer> {
  readonly answer: Answer;
  /** Memory that goes along and is not copied. */
  readonly transfer?: readonly TransferListItem[];
}

/** A worker's side: one question after the other, until the pool closes. */
export function answerQuestions<Question, Answer>(
  answer: (question: Question) => Promise<Given<Answer>>,
  end: () => Promise<void> = async () => {},
): void {
  const port: MessagePort | null = parentPort;
  const handle = async (message: { question: Question } | 'end') => {
    if (message === 'end') {
      await end();
      port?.close();
      return;
    }
    try {
      const given = await answer(message.question);
      port?.postMessage({ answer: given.answer } satisfies Reply<Answer>, [...(given.transfer ?? [])]);
    } catch (error) {
      const known = error instanceof SppError;
      port?.postMessage({
        code: known ? error.code : undefined,
        message: known ? error.message : String((error as Error)?.stack ?? error),
        hint: known ? error.hint : undefined,
      } satisfies Reply<Answer>);
    }
  };
  let last: Promise<void> = Promise.resolve();
  port?.on('message', (message: { question: Question } | 'end') => {
    last = last.then(() => handle(message));
  });
}
