import { describe, expect, test } from 'vitest';
import type { Packed } from '../execution/messages.ts';
import { packedLevel } from './packed-level.ts';

/** A node whose levels are packed in files where `inFile` says so; `files` are those that it is worth making. */
function node({ inFile = false, files = [] as readonly number[], room = true }) {
  const state = {
    nowMs: 0,
    isQuiet: true,
    asked: [] as number[],
    rows: 0,
    insisted: false,
    more: undefined as ReadonlyMap<number, Packed> | undefined,
  };
  let how: readonly (readonly [number, Packed])[] = [];
  let counted: number | undefined;
  const level = packedLevel({
    first: 3,
    source: {
      packsInFile: () => inFile,
      async packedFile(model, inputs) {
        state.asked.push(model.level);
        state.rows = inputs[0]?.dims[0] ?? 0;
        return files.includes(model.level)
          ? new Map<number, Packed>([
              [0, 'beside:/0'],
              [model.level, `file:/${model.level}`],
            ])
          : undefined;
      },
      async packedWithMore() {
        return state.more;
      },
    },
    pool: {
      pack: (hows) => {
        how = [...hows];
      },
      async upkeep(_, insist = false) {
        state.insisted = insist;
      },
    },
    cache: {
      pack(of) {
        counted = room ? of : undefined;
        return room;
      },
      peek: (of) => ({
        level: of,
        data: { kind: 'views', path: `/views/${of}` },
        ...{ ownBytes: 0, sharedBytes: 0, packedBytes: 0 },
      }),
    },
    isQuiet: () => state.isQuiet,
    inputs: (rows) => [{ name: 'x', type: 'float32', dims: [rows, 4] }],
    now: () => state.nowMs,
  });
  /** Lets a level have all the work for so many seconds. */
  const work = async (of: number, seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      level.record(of, 1000, 8);
      state.nowMs += 1000;
      await level.keep();
    }
  };
  return { state, level, work, how: () => how, counted: () => counted };
}

describe('the level that is packed', () => {
  test('is the first one at once, in a copy for each thread where it is small', () => {
    const { how, counted } = node({});
    expect([how(), counted()]).toEqual([[[3, 'copy']], 3]);
  });

  test('is in a file where it is large, if that is worth it for the runs that it has', async () => {
    const { state, level, how, counted, work } = node({ inFile: true, files: [1] });
    expect(how()).toEqual([]);
    await level.settle(3);
    await level.settle(3);
    expect([state.asked, state.rows, how(), counted()]).toEqual([[3], 1, [], undefined]);
    await work(1, 15);
    expect([state.asked, state.rows, how(), counted()]).toEqual([
      [3, 1],
      8,
      [
        [0, 'beside:/0'],
        [1, 'file:/1'],
      ],
      1,
    ]);
  });

  test('stays in its file while another level is the choice for work that has ended', async () => {
    const { state, level, how, work } = node({ inFile: true, files: [1, 3] });
    await level.settle(3);
    await work(1, 5);
    for (let second = 0; second < 70; second++) {
      state.nowMs += 1000;
      await level.keep();
    }
    expect([level.choice, state.asked]).toEqual([1, [3]]);
    expect(how()).toContainEqual([3, 'file:/3']);
  });

  test('changes once another one has been the choice for a while, in a quiet moment', async () => {
    const { state, level, how, work } = node({});
    await work(1, 5);
    expect([level.choice, how()]).toEqual([1, [[3, 'copy']]]);
    await work(2, 10);
    expect([level.choice, how()]).toEqual([2, [[3, 'copy']]]);
    state.isQuiet = false;
    await work(2, 20);
    expect([how(), state.insisted]).toEqual([[[3, 'copy']], false]);
    state.isQuiet = true;
    await work(2, 1);
    expect(how()).toEqual([[2, 'copy']]);
  });

  test('does not wait for a quiet moment for ever', async () => {
    const { state, how, work } = node({});
    state.isQuiet = false;
    await work(1, 65);
    expect([how(), state.insisted]).toEqual([[[1, 'copy']], true]);
  });

  test('has levels that come later lie beside it, looked for now and then in quiet moments', async () => {
    const { state, level, how, work } = node({ inFile: true, files: [3] });
    await level.settle(3);
    state.more = new Map([
      [2, 'beside:/2'],
      [3, 'file:/3'],
    ]);
    state.isQuiet = false;
    await work(3, 70);
    expect(how()).toContainEqual([0, 'beside:/0']);
    state.isQuiet = true;
    await work(3, 1);
    expect(how()).toEqual([...state.more]);
    // What is dropped for want of memory stays so.
    level.drop();
    await work(3, 70);
    expect(how()).toEqual([]);
  });

  test('is packed anew where its file is not to be used any more', async () => {
    const { level, work, how, state } = node({ inFile: true, files: [3] });
    await work(3, 20);
    expect(how()).toContainEqual([3, 'file:/3']);
    level.renew();
    expect(how()).toEqual([]);
    await work(3, 2);
    expect(state.asked).toEqual([3, 3]);
    expect(how()).toContainEqual([3, 'file:/3']);
  });

  test('is none where there is no memory for it', async () => {
    const { how, work } = node({ room: false });
    expect(how()).toEqual([]);
    await work(1, 15);
    expect(how()).toEqual([]);
  });
});
