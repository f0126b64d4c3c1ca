/**
 * A fixed number of session threads, each busy with at most one task. A thread that dies is replaced, after a pause
 * that grows while replacements die before they are ready; its task is handed back as `WorkerLost`, to be tried again.
 */
import { SppError } from '../../../schema/errors.ts';
import type { RawTensor } from '../tensors.ts';
import { type AskedThread, askedThread, type SpawnThread, spawnSessionThread } from './asked-thread.ts';
import type { ModelData, Packed } from './messages.ts';
import { refusal } from './refusal.ts';

export interface LevelModel {
  readonly level: number;
  readonly data: ModelData;
}

export interface Task {
  readonly model: LevelModel;
  readonly feeds: readonly RawTensor[];
  readonly outputs: readonly string[];
  /**
   * Takes the feeds' memory back once they have been run. Where it is given, the feeds move to the thread, where else they are
   * copied.
   */
  readonly reuse?: ((spare: ArrayBuffer) => void) | undefined;
}

export interface TaskResult {
  readonly outputs: readonly RawTensor[];
  /** Creating the session, where this thread had none for the level yet; else 0. */
  readonly loadMs: number;
  /** From handing the task to a thread, or from the answer to the run before it, until its answer is here, without `loadMs`. */
  readonly executeMs: number;
  /** How long it lay behind another run with its thread; 0 where it was handed over to an idle one. */
  readonly behindMs: number;
  /** The part of `executeMs` that the run took inside its thread; the rest is the way there and back. */
  readonly runMs: number;
}

export interface WorkerPool {
  readonly size: number;
  /** Threads that could take a task now. */
  readonly idle: number;
  /** Set while threads keep dying before they are ready and there is none that is, and cleared when one gets there. */
  readonly fault: SppError | undefined;
  /**
   * Runs a task at once on an idle thread, by preference one that has the level's session; undefined when none is idle.
   * Rejects with `WorkerLost`, `bad-request` (the model refused the input) or `level-unavailable` (the model did not load).
   */
  start(task: Task): Promise<TaskResult> | undefined;
  /** Whether a busy thread that has the level's session could take a task behind its present run. */
  hasRoomBehind(level: number): boolean;
  /** As `start`, behind a thread's present run, so that it loses no time between the two; undefined where there is no room. */
  startBehind(task: Task): Promise<TaskResult> | undefined;
  /** Lets `upkeep` make sessions of a level before any task asks for one. */
  expect(model: LevelModel): void;
  /** Lets threads drop a level's session. */
  unload(level: number): void;
  /** How levels' sessions are to be packed; those of others are not. `upkeep` exchanges sessions that exist. */
  pack(hows: ReadonlyMap<number, Packed>): void;
  /**
   * Uses idle threads, one at a time, to make the sessions they lack of levels that others have, and to exchange those that
   * are packed otherwise than they should be. Ends when nothing is left to do, no thread is idle, or `calm` turns false.
   * @param insist threads that are never idle are to do it too, each between two of its runs, one at a time
   */
  upkeep(calm: () => boolean, insist?: boolean): Promise<void>;
  close(): Promise<void>;
}

export interface PoolOptions {
  readonly size: number;
  readonly ep: string;
  /** How long a thread stays awake after a run that was the only one, on a core that is free then; 0 not at all. */
  readonly lingerMs?: number;
  /** Called when a thread has become idle, and when `fault` has changed. */
  readonly onChange: () => void;
  /** Called when a thread has died. */
  readonly onLost: (reason: string) => void;
  readonly spawn?: SpawnThread;
}

interface Slot {
  readonly thread: AskedThread;
  ready: boolean;
  idle: boolean;
  /** Levels it has sessions of, and how they are packed. */
  levels: Map<number, Packed>;
  /** Whether it is at a run of a level that it had a session of before. */
  isPlainRun: boolean;
}

const FIRST_RESPAWN_MS = 50;
const LONGEST_RESPAWN_MS = 5000;
const FAULT_AFTER_DEATHS = 3;
export function workerPool(options: PoolOptions): WorkerPool {
  const spawn = options.spawn ?? spawnSessionThread;
  const slots = new Set<Slot>();
  const respawns = new Set<NodeJS.Timeout>();
  let deathsBeforeReady = 0;
  let fault: SppError | undefined;
  let closed = false;
  /** Of levels that some thread was given. */
  const models = new Map<number, LevelModel>();
  let packs: ReadonlyMap<number, Packed> = new Map();
  let keeping: Promise<void> | undefined;
  /** Whether threads that end a run look after their sessions first, and whether one is at it. */
  let insists = false;
  let preparing = false;
  const packedAs = ({ level, data }: LevelModel): Packed =>
    data.kind === 'whole' ? 'copy' : (packs.get(level) ?? 'no');

  const open = () => {
    const thread = askedThread(spawn({ ep: options.ep }), {
      onReady: () => {
        slot.ready = true;
        slot.idle = true;
        deathsBeforeReady = 0;
        fault = undefined;
        options.onChange();
      },
      onEnd: (code, reason) => {
        slots.delete(slot);
        if (closed) return 'The pool was closed.';
        options.onLost(`exit code ${code}: ${reason}`);
        if (!slot.ready) deathsBeforeReady++;
        replace(reason);
        return `A worker thread was lost: ${reason}.`;
      },
    });
    const slot: Slot = { thread, ready: false, idle: false, levels: new Map(), isPlainRun: false };
    slots.add(slot);
  };

  const replace = (reason: string) => {
    const pauseMs =
      deathsBeforeReady === 0 ? 0 : Math.min(LONGEST_RESPAWN_MS, FIRST_RESPAWN_MS * 2 ** deathsBeforeReady);
    const timer = setTimeout(() => {
      respawns.delete(timer);
      open();
    }, pauseMs);
    respawns.add(timer);
    if (deathsBeforeReady < FAULT_AFTER_DEATHS) return;
    fault = new SppError('backend-unavailable', `Worker threads do not start: ${reason}.`, {
      hint: 'See the log; check that onnxruntime-node is installed for this platform.',
    });
    options.onChange();
  };

  const run = async (slot: Slot, { model, feeds, outputs, reuse }: Task): Promise<TaskResult> => {
    const handedMs = performance.now();
    const { level } = model;
    const held = slot.levels.has(level);
    slot.isPlainRun = held;
    const packed = packedAs(model);
    if (!held) slot.levels.set(level, packed);
    models.set(level, model);
    const asked = slot.thread.ask(
      {
        kind: 'run',
        level,
        model: held ? undefined : { data: model.data, packed },
        feeds,
        outputs,
        returnFeeds: reuse !== undefined,
        // One thread at most: the other cores are for those who bring the next request.
        lingerMs: [...slots].some((other) => other !== slot && !other.idle) ? 0 : (options.lingerMs ?? 0),
      },
      reuse !== undefined ? feeds.map(({ data }) => data.buffer) : [],
    );
    const { message: answer, afterMs } = await asked.catch((error: unknown) => {
      // What was not sent, or not answered, has made no session.
      if (!held) slot.levels.delete(level);
      throw error;
    });
    if (answer.kind === 'done') {
      for (const buffer of answer.spare) reuse?.(buffer);
      const { outputs: results, loadMs, runMs } = answer;
      const elapsedMs = performance.now() - (afterMs ?? handedMs) - loadMs;
      return {
        outputs: results,
        loadMs,
        // An answer that lay here for a while may have been taken up after the next run had begun.
        executeMs: Math.max(runMs, elapsedMs),
        runMs,
        behindMs: afterMs === undefined ? 0 : afterMs - handedMs,
      };
    }
    if (answer.kind !== 'failed') throw new Error(`a worker thread answered ${answer.kind} to a task`);
    if (answer.stage === 'load') slot.levels.delete(level);
    throw refusal(level, options.ep, answer.stage, answer.message);
  };

  /** What a thread should do about its sessions next: unpack first, so that two packed levels are in memory at once for as short as can be. */
  const lacks = ({ levels }: Slot): LevelModel | undefined => {
    const lacking = [...models.values()].filter((model) => levels.get(model.level) !== packedAs(model));
    return lacking.find(({ level }) => (levels.get(level) ?? 'no') !== 'no') ?? lacking[0];
  };

  const prepare = async (slot: Slot, model: LevelModel) => {
    const { level, data } = model;
    const packed = packedAs(model);
    slot.idle = false;
    preparing = true;
    try {
      slot.isPlainRun = false;
      const { message } = await slot.thread.ask({ kind: 'prepare', level, model: { data, packed } });
      const isWanted = models.get(level) === model;
      if (message.kind !== 'prepared') {
        if (isWanted) models.delete(level);
      } else if (isWanted) slot.levels.set(level, packed);
      else {
        // Dropped meanwhile, or made anew: this one is of what was there before.
        slot.levels.delete(level);
        slot.thread.tell({ kind: 'unload', level });
      }
    } catch {
      // The thread was lost, which is dealt with where it is noticed.
    } finally {
      preparing = false;
      slot.idle = slots.has(slot);
      if (slot.idle) options.onChange();
    }
  };

  const keep = async (calm: () => boolean) => {
    while (!closed && !preparing && calm()) {
      const slot = [...slots].find((candidate) => candidate.idle && lacks(candidate) !== undefined);
      const model = slot && lacks(slot);
      if (slot === undefined || model === undefined) return;
      await prepare(slot, model);
    }
  };

  const begin = (slot: Slot, task: Task) => {
    slot.idle = false;
    return run(slot, task).finally(() => {
      slot.idle = slots.has(slot) && slot.thread.unanswered === 0;
      if (!slots.has(slot)) return;
      const model = insists && slot.idle && !preparing ? lacks(slot) : undefined;
      if (model === undefined) options.onChange();
      else void prepare(slot, model);
    });
  };

  const withRoomBehind = (level: number) =>
    [...slots].find(
      ({ levels, thread, isPlainRun }) => isPlainRun && thread.unanswered === 1 && levels.has(level),
    );

  for (let i = 0; i < options.size; i++) open();
  return {
    size: options.size,
    get idle() {
      let count = 0;
      for (const slot of slots) if (slot.idle) count++;
      return count;
    },
    get fault() {
      return [...slots].some(({ ready }) => ready) ? undefined : fault;
    },
    start(task) {
      const idle = [...slots].filter((slot) => slot.idle);
      const slot = idle.find((candidate) => candidate.levels.has(task.model.level)) ?? idle[0];
      return slot && begin(slot, task);
    },
    hasRoomBehind: (level) => withRoomBehind(level) !== undefined,
    startBehind(task) {
      const slot = withRoomBehind(task.model.level);
      return slot && begin(slot, task);
    },
    expect(model) {
      models.set(model.level, model);
    },
    unload(level) {
      models.delete(level);
      for (const slot of slots) if (slot.levels.delete(level)) slot.thread.tell({ kind: 'unload', level });
    },
    pack(hows) {
      packs = hows;
    },
    upkeep(calm, insist = false) {
      insists = insist;
      keeping ??= keep(calm).finally(() => {
        keeping = undefined;
      });
      return keeping;
    },
    async close() {
      closed = true;
      for (const timer of respawns) clearTimeout(timer);
      await Promise.all([...slots].map(({ thread }) => thread.end()));
    },
  };
}
