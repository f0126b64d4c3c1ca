/** The worker thread: onnxruntime sessions by level, one call at a time. `run()` blocks, which is why it lives here. */
import { parentPort, workerData } from 'node:worker_threads';
import { InferenceSession, type Tensor } from 'onnxruntime-node';
import { giveWay } from './give-way.ts';
import type { FromThread, ModelData, Packed, ThreadData, ThreadModel, ToThread } from './messages.ts';
import { ortTensor, rawTensor } from './ort-tensor.ts';
import { sessionOptions } from './session-options.ts';
import { inTurn } from './turns.ts';

const { ep, turns } = workerData as ThreadData;
const sessions = new Map<number, InferenceSession>();

/** Until when the thread stays awake; 0 while it has something to do. */
let awakeUntilMs = 0;

let last: Promise<void> = Promise.resolve();
// One after the other: a session must not be released while it runs.
parentPort?.on('message', (message: ToThread) => {
  awakeUntilMs = 0;
  const handled = () => handle(message);
  last = last.then(() => (turns === undefined ? handled() : inTurn(turns, handled)));
});
giveWay();
answer({ kind: 'ready' });

function handle(message: ToThread): Promise<void> {
  switch (message.kind) {
    case 'run':
      return run(message);
    case 'prepare':
      return prepare(message);
    case 'unload':
      return unload(message.level);
    case 'end':
      return end();
  }
}

async function run({
  level,
  model,
  feeds,
  outputs,
  returnFeeds,
  lingerMs,
}: Extract<ToThread, { kind: 'run' }>): Promise<void> {
  let stage: 'load' | 'run' = 'load';
  try {
    const begun = performance.now();
    const held = sessions.get(level);
    const session = held ?? (await load(level, model));
    const loadMs = held === undefined ? performance.now() - begun : 0;
    stage = 'run';
    const runningMs = performance.now();
    const tensors = feeds.map(({ name, type, data, dims }) => [name, ortTensor(type, data, dims)]);
    const results = await session.run(Object.fromEntries(tensors), [...outputs]);
    const raw = outputs.map((name) => rawTensor(name, results[name] as Tensor));
    const runMs = performance.now() - runningMs;
    const spare = returnFeeds ? feeds.map(({ data }) => data.buffer) : [];
    answer({ kind: 'done', outputs: raw, loadMs, runMs, spare }, [
      ...raw.map(({ data }) => data.buffer),
      ...spare,
    ]);
    linger(lingerMs);
  } catch (error) {
    answer({ kind: 'failed', stage, message: error instanceof Error ? error.message : String(error) });
  }
}

/** Turns the event loop over and over, which takes up a message within microseconds. */
function linger(ms: number): void {
  if (ms <= 0) return;
  const turn = () => {
    if (performance.now() < awakeUntilMs) setImmediate(turn);
  };
  awakeUntilMs = performance.now() + ms;
  turn();
}

async function prepare({ level, model }: Extract<ToThread, { kind: 'prepare' }>): Promise<void> {
  try {
    const begun = performance.now();
    const before = sessions.get(level);
    await load(level, model);
    await before?.release();
    answer({ kind: 'prepared', loadMs: performance.now() - begun });
  } catch (error) {
    answer({
      kind: 'failed',
      stage: 'load',
      message: error instanceof Error ? error.message : String(error),
    });
  }
}

async function load(level: number, model: ThreadModel | undefined): Promise<InferenceSession> {
  if (model === undefined) throw new Error(`no model was given for level ${level}`);
  const { data, packed } = model;
  const session =
    data.kind === 'views'
      ? await loadViews(data, packed)
      : // onnxruntime does not take shared memory, so the bytes are copied for as long as it parses them.
        await InferenceSession.create(Uint8Array.from(data.bytes), sessionOptions(ep));
  sessions.set(level, session);
  return session;
}

async function loadViews(
  { path, blocksConvolutions = true }: Extract<ModelData, { kind: 'views' }>,
  packed: Packed,
): Promise<InferenceSession> {
  const asItLies = () =>
    InferenceSession.create(
      path,
      sessionOptions(ep, { packed: false, keepsScratch: false, blocksConvolutions }),
    );
  if (packed === 'no') return asItLies();
  if (packed === 'copy') return InferenceSession.create(path, sessionOptions(ep));
  const at = packed.indexOf(':');
  const file = packed.slice(at + 1);
  const options: InferenceSession.SessionOptions =
    packed.slice(0, at) === 'file'
      ? // It was optimised when it was packed.
        { ...sessionOptions(ep), graphOptimizationLevel: 'disabled' }
      : sessionOptions(ep, { keepsScratch: false, blocksConvolutions });
  // Where the file is gone or damaged, the level itself is still there.
  return InferenceSession.create(file, options).catch(asItLies);
}

async function unload(level: number): Promise<void> {
  const session = sessions.get(level);
  sessions.delete(level);
  await session?.release();
}

async function end(): Promise<void> {
  for (const level of [...sessions.keys()]) await unload(level);
  parentPort?.close();
}

function answer(message: FromThread, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
