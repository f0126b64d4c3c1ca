import { EventEmitter } from 'node:events';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openArtifact } from '../../../schema/artifact/store.ts';
import { gatedThreads } from '../../../test/support/gated-threads.ts';
import { disposables, temporaryDirectory, tinyArtifact } from '../../../test/support/node-client.ts';
import { tinyReference, writeTinyArtifact } from '../../../test/support/tiny-model.ts';
import { artifactLevels } from '../model/level-source.ts';
import { packInputs } from '../tensors.ts';
import { openWeightFile } from '../weights/weight-file.ts';
import { spawnSessionThread, type Thread, WorkerLost } from './asked-thread.ts';
import type { ToThread } from './messages.ts';
import { type LevelModel, type PoolOptions, type Task, type TaskResult, workerPool } from './worker-pool.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const X = [[0.5, -1, 2, 0.25]];
const TOKEN = [3];

async function tinyTask(level: number): Promise<Task> {
  const directory = await temporaryDirectory(scope);
  const manifest = await writeTinyArtifact(directory);
  const bytes = await artifactLevels(await openArtifact(directory), 1).model(level);
  const { feeds } = packInputs(manifest.inputs, [
    { name: 'x', datatype: 'FP32', shape: [1, 4], data: X.flat() },
    { name: 'token', datatype: 'INT64', shape: [1], data: TOKEN },
  ]);
  return { model: shared(level, bytes), feeds, outputs: ['logits'] };
}

function shared(level: number, bytes: Uint8Array): LevelModel {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return { level, data: { kind: 'whole', bytes: copy } };
}

/** Threads whose orders are told before they get them. */
function overheard(hear: (message: ToThread) => void): NonNullable<PoolOptions['spawn']> {
  return (data) => {
    const thread = spawnSessionThread(data);
    return {
      on: thread.on.bind(thread) as Thread['on'],
      postMessage(message, transfer) {
        hear(message);
        thread.postMessage(message, transfer);
      },
    };
  };
}

/** A pool, and a promise of its next idle thread. */
function open(options: Partial<PoolOptions> = {}) {
  const changes = new EventEmitter();
  const lost: string[] = [];
  const pool = workerPool({
    size: 1,
    ep: 'cpu',
    onChange: () => changes.emit('change'),
    onLost: (reason) => lost.push(reason),
    ...options,
  });
  scope.onDispose(() => pool.close());
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => changes.once('change', resolve));
  };
  return { pool, lost, until };
}

describe('worker pool', () => {
  test('runs a level on a thread, loads it once, and loads it again after it was unloaded', async () => {
    const task = await tinyTask(1);
    const { pool, until } = open();
    await until(() => pool.idle === 1);
    const first = await pool.start(task);
    expect(first?.loadMs).toBeGreaterThan(0);
    const wanted = tinyReference(1, X, TOKEN).logits.flat();
    for (const [i, value] of [...first!.outputs[0]!.data].entries()) expect(value).toBeCloseTo(wanted[i]!, 5);
    await until(() => pool.idle === 1);
    expect((await pool.start(task))?.loadMs).toBe(0);
    pool.unload(1);
    await until(() => pool.idle === 1);
    expect((await pool.start(task))?.loadMs).toBeGreaterThan(0);
  });

  test('gives memory that moved to a thread back once it has been run', async () => {
    const task = await tinyTask(1);
    const { pool, until } = open();
    await until(() => pool.idle === 1);
    const given: ArrayBuffer[] = [];
    const wanted = task.feeds.map(({ data }) => data.byteLength);
    const first = await pool.start({ ...task, reuse: (buffer) => given.push(buffer) });
    expect(task.feeds.map(({ data }) => data.byteLength)).toEqual(wanted.map(() => 0));
    expect(given.map(({ byteLength }) => byteLength)).toEqual(wanted);
    const feeds = task.feeds.map((feed, i) => ({
      ...feed,
      data: feed.type === 'float32' ? new Float32Array(given[i]!) : new BigInt64Array(given[i]!),
    }));
    await until(() => pool.idle === 1);
    expect((await pool.start({ ...task, feeds }))?.outputs).toEqual(first?.outputs);
    expect(feeds.map(({ data }) => data.byteLength)).toEqual(wanted);
  });

  test('takes one run behind the present one of a level that it has, and answers both', async () => {
    const task = await tinyTask(1);
    const { pool, until } = open();
    await until(() => pool.idle === 1);
    const first = pool.start(task);
    // Nothing behind a run that has to load its level first: it may fail to.
    expect([pool.hasRoomBehind(1), pool.startBehind(task)]).toEqual([false, undefined]);
    await first;
    await until(() => pool.idle === 1);
    expect(pool.startBehind(task)).toBeUndefined();
    const running = pool.start(task);
    expect([pool.hasRoomBehind(0), pool.hasRoomBehind(1)]).toEqual([false, true]);
    const behind = pool.startBehind(task);
    expect([pool.hasRoomBehind(1), pool.idle]).toEqual([false, 0]);
    const [one, two] = await Promise.all([running, behind]);
    expect(two?.outputs).toEqual(one?.outputs);
    expect([one!.behindMs, two!.behindMs > 0, two!.executeMs >= two!.runMs]).toEqual([0, true, true]);
    await until(() => pool.idle === 1);
  });

  test('tells the run behind the present one, too, that its thread was lost', async () => {
    const task = await tinyTask(1);
    const gate = gatedThreads();
    const { pool, until } = open({ spawn: gate.spawn });
    await until(() => pool.idle === 1);
    await pool.start(task);
    await until(() => pool.idle === 1);
    gate.hold();
    const lost = [pool.start(task), pool.startBehind(task)].map((run, i) =>
      expect(run).rejects.toMatchObject({ name: 'WorkerLost', begun: i === 0 }),
    );
    await gate.held(1);
    await gate.killHeld();
    await Promise.all(lost);
    gate.release();
    await until(() => pool.idle === 1);
  });

  test.each(['file:/no/such/level.onnx', 'beside:/no/such/level.onnx'] as const)(
    'runs a level as it lies where %s is gone',
    async (how) => {
      const directory = await tinyArtifact(scope);
      const file = await openWeightFile(await openArtifact(directory), await temporaryDirectory(scope));
      scope.onDispose(() => file.close());
      const { pool, until } = open();
      await until(() => pool.idle === 1);
      pool.pack(new Map([[1, how]]));
      const model: LevelModel = { level: 1, data: { kind: 'views', path: await file.model(1) } };
      const wanted = tinyReference(1, X, TOKEN).logits.flat();
      const result = await pool.start({ ...(await tinyTask(1)), model });
      for (const [i, value] of [...result!.outputs[0]!.data].entries())
        expect(value).toBeCloseTo(wanted[i]!, 5);
    },
  );

  test('gives threads the sessions they lack, packed for the level that is to be', async () => {
    const directory = await tinyArtifact(scope);
    const file = await openWeightFile(await openArtifact(directory), await temporaryDirectory(scope));
    scope.onDispose(() => file.close());
    const task = await tinyTask(0);
    const views = async (level: number): Promise<Task> => ({
      ...task,
      model: { level, data: { kind: 'views', path: await file.model(level) } },
    });
    const made: string[] = [];
    const { pool, until } = open({
      size: 2,
      spawn: overheard((message) => {
        if ((message.kind === 'run' || message.kind === 'prepare') && message.model !== undefined)
          made.push(`${message.level}${message.model.packed === 'copy' ? ' packed' : ''}`);
      }),
    });
    await until(() => pool.idle === 2);
    pool.expect((await views(0)).model);
    await pool.upkeep(() => true);
    expect(made.splice(0)).toEqual(['0', '0']);
    pool.unload(0);
    pool.pack(new Map([[1, 'copy']]));
    for (const level of [0, 1]) await pool.start(await views(level));
    expect(made.splice(0)).toEqual(['0', '1 packed']);
    await pool.upkeep(() => true);
    expect(made.splice(0).toSorted()).toEqual(['0', '1 packed']);
    pool.pack(new Map([[0, 'copy']]));
    await pool.upkeep(() => true);
    expect(made.splice(0)).toEqual(['1', '0 packed', '1', '0 packed']);
    await pool.upkeep(() => true);
    expect(made).toEqual([]);
    const wanted = tinyReference(0, X, TOKEN).logits.flat();
    const both = await Promise.all([await views(0), await views(0)].map((each) => pool.start(each)));
    for (const result of both) {
      expect(result?.loadMs).toBe(0);
      for (const [i, value] of [...result!.outputs[0]!.data].entries())
        expect(value).toBeCloseTo(wanted[i]!, 5);
    }
  });

  test('has a thread that is never idle make what it lacks between two runs, where it must', async () => {
    const [task, other] = [await tinyTask(0), await tinyTask(1)];
    const made: number[] = [];
    const results: Promise<TaskResult>[] = [];
    let goesOn = false;
    const { pool } = open({
      // Always the next task at once.
      onChange: () => goesOn && next(),
      spawn: overheard((message) => {
        if (message.kind === 'prepare') made.push(message.level);
      }),
    });
    const next = () => {
      const result = pool.start(task);
      if (result !== undefined) results.push(result);
    };
    const soon = { timeout: 20_000 };
    await vi.waitUntil(() => pool.idle === 1, soon);
    goesOn = true;
    next();
    pool.expect(other.model);
    await pool.upkeep(() => false);
    for (let i = 0; i < 5; i++) await results[i];
    expect(made).toEqual([]);
    await pool.upkeep(() => false, true);
    await vi.waitUntil(() => made.length > 0, soon);
    const count = results.length;
    await vi.waitUntil(() => results.length > count + 2, soon);
    expect(made).toEqual([1]);
    goesOn = false;
    await Promise.all(results);
  });

  test('takes no task while no thread is idle', async () => {
    const task = await tinyTask(0);
    const { pool, until } = open();
    await until(() => pool.idle === 1);
    const running = pool.start(task);
    expect(pool.idle).toBe(0);
    expect(pool.start(task)).toBeUndefined();
    await running;
  });

  test('hands a task back when its thread dies, and replaces the thread', async () => {
    const task = await tinyTask(0);
    const gate = gatedThreads();
    const { pool, lost, until } = open({ spawn: gate.spawn });
    await until(() => pool.idle === 1);
    gate.hold();
    const running = expect(pool.start(task)).rejects.toBeInstanceOf(WorkerLost);
    await gate.held(1);
    await gate.killHeld();
    await running;
    gate.release();
    await until(() => pool.idle === 1);
    await expect(pool.start(task)).resolves.toMatchObject({ outputs: [{ name: 'logits' }] });
    expect([gate.spawned, lost.length]).toEqual([2, 1]);
  });

  test('tells a model that does not load from an input that it cannot compute', async () => {
    const task = await tinyTask(0);
    const { pool, until } = open();
    await until(() => pool.idle === 1);
    const damaged = shared(2, new Uint8Array(50));
    await expect(pool.start({ ...task, model: damaged })).rejects.toMatchObject({
      code: 'level-unavailable',
    });
    await until(() => pool.idle === 1);
    const feeds = task.feeds.map((feed) =>
      feed.name === 'token' ? { ...feed, data: BigInt64Array.of(99n) } : feed,
    );
    await expect(pool.start({ ...task, feeds })).rejects.toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('out of data bounds'),
    });
    await until(() => pool.idle === 1);
    await expect(pool.start(task)).resolves.toMatchObject({ outputs: [{ name: 'logits' }] });
  });

  test('says that threads do not start when they keep dying before they are ready', async () => {
    const stillborn = () => {
      const thread = Object.assign(new EventEmitter(), { postMessage: () => {} });
      setImmediate(() => {
        thread.emit('error', new Error('no such library'));
        thread.emit('exit', 1);
      });
      return thread;
    };
    const { pool, until } = open({ spawn: stillborn });
    await until(() => pool.fault !== undefined);
    expect(pool.fault).toMatchObject({ code: 'backend-unavailable' });
    expect(pool.fault?.message).toContain('no such library');
  });
});

test('a thread that is well serves on while the other ones do not start', async () => {
  const well = Object.assign(new EventEmitter(), { postMessage: () => {} });
  let spawned = 0;
  const spawn = () => {
    if (spawned++ === 0) return well;
    const thread = Object.assign(new EventEmitter(), { postMessage: () => {} });
    setImmediate(() => thread.emit('exit', 1));
    return thread;
  };
  const { pool, lost } = open({ size: 2, spawn });
  well.emit('message', { kind: 'ready' });
  await expect.poll(() => lost.length, { timeout: 5000 }).toBeGreaterThan(3);
  expect([pool.fault, pool.idle]).toEqual([undefined, 1]);
  well.emit('exit', 1);
  expect(pool.fault).toMatchObject({ code: 'backend-unavailable' });
});

test('only a run that has all other threads idle leaves its thread awake', async () => {
  const asked: ToThread[] = [];
  const threads: EventEmitter[] = [];
  const spawn = (): Thread => {
    const thread = Object.assign(new EventEmitter(), {
      postMessage(message: ToThread) {
        asked.push(message);
        if (message.kind === 'end') queueMicrotask(() => thread.emit('exit', 0));
      },
    });
    threads.push(thread);
    queueMicrotask(() => thread.emit('message', { kind: 'ready' }));
    return thread;
  };
  const { pool, until } = open({ size: 2, lingerMs: 7, spawn });
  await until(() => pool.idle === 2);
  const model = { level: 0, data: { kind: 'views' as const, path: 'unread.onnx' } };
  const runs = [1, 2].map(() => pool.start({ model, feeds: [], outputs: [] }));
  expect(asked.map((message) => message.kind === 'run' && message.lingerMs)).toEqual([7, 0]);
  for (const thread of threads)
    thread.emit('message', { kind: 'done', outputs: [], loadMs: 0, runMs: 1, spare: [] });
  await Promise.all(runs);
});

test('a run without an end is left to itself when its pool is closed, which its askers are told: a thread that is terminated there takes the process with it', async () => {
  vi.useFakeTimers();
  try {
    const told: string[] = [];
    const thread = Object.assign(new EventEmitter(), {
      postMessage: ({ kind }: ToThread) => void told.push(kind),
      terminate: () => told.push('terminated'),
    });
    const { pool } = open({ spawn: () => thread });
    thread.emit('message', { kind: 'ready' });
    const model = { level: 0, data: { kind: 'views' as const, path: 'unread.onnx' } };
    const lost = expect(pool.start({ model, feeds: [], outputs: [] })).rejects.toThrow(WorkerLost);
    const closed = pool.close();
    await vi.runAllTimersAsync();
    await closed;
    expect(told).toEqual(['run', 'end']);
    await lost;
    // Its run ends all the same, and nobody waits for that any more.
    thread.emit('message', { kind: 'done', outputs: [], loadMs: 0, runMs: 1, spare: [] });
    thread.emit('exit', 0);
  } finally {
    vi.useRealTimers();
  }
});

test('drops the session that a thread was making of a level when that was unloaded, and gives the next run the model', async () => {
  const asked: ToThread[] = [];
  const thread: EventEmitter & Thread = Object.assign(new EventEmitter(), {
    postMessage(message: ToThread) {
      asked.push(message);
      if (message.kind === 'end') queueMicrotask(() => thread.emit('exit', 0));
    },
  });
  const { pool } = open({ spawn: () => thread });
  thread.emit('message', { kind: 'ready' });
  const model = (path: string): LevelModel => ({ level: 1, data: { kind: 'views', path } });
  pool.expect(model('before.onnx'));
  const upkeep = pool.upkeep(() => true);
  pool.unload(1);
  pool.expect(model('anew.onnx'));
  thread.emit('message', { kind: 'prepared', loadMs: 1 });
  await vi.waitFor(() => expect(asked.map(({ kind }) => kind)).toEqual(['prepare', 'unload', 'prepare']));
  expect(asked.at(-1)).toMatchObject({ model: { data: { path: 'anew.onnx' } } });
  thread.emit('message', { kind: 'prepared', loadMs: 1 });
  await upkeep;
});

test('gives a thread the model again where a run of it could not be sent', async () => {
  const asked: ToThread[] = [];
  let full = true;
  const thread: EventEmitter & Thread = Object.assign(new EventEmitter(), {
    postMessage(message: ToThread) {
      if (message.kind === 'run' && full) throw new Error('out of memory');
      asked.push(message);
      if (message.kind === 'end') queueMicrotask(() => thread.emit('exit', 0));
    },
  });
  const { pool } = open({ spawn: () => thread });
  thread.emit('message', { kind: 'ready' });
  const task: Task = {
    model: { level: 0, data: { kind: 'views', path: 'unread.onnx' } },
    feeds: [],
    outputs: [],
  };
  await expect(pool.start(task)).rejects.toThrow('out of memory');
  full = false;
  const second = pool.start(task);
  expect(asked).toMatchObject([{ kind: 'run', model: { data: { path: 'unread.onnx' } } }]);
  thread.emit('message', { kind: 'done', outputs: [], loadMs: 0, runMs: 1, spare: [] });
  await second;
});
