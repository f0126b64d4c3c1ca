import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { askedThread, type Thread } from './asked-thread.ts';

test('what cannot be sent to a thread fails alone: the answers behind it go to those who asked', async () => {
  const events = new EventEmitter();
  let full = true;
  const thread: Thread = {
    on: (event: string, listener: (...given: never[]) => void) => events.on(event, listener as () => void),
    postMessage() {
      if (full) throw new DOMException('Data cannot be cloned, out of memory.', 'DataCloneError');
    },
  };
  const asked = askedThread(thread, { onReady: () => {}, onEnd: () => 'it ended' });
  const prepare = (level: number) =>
    asked.ask({ kind: 'prepare', level, model: { data: { kind: 'views', path: 'a' }, packed: 'no' } });
  await expect(prepare(1)).rejects.toThrow('out of memory');
  full = false;
  const second = prepare(2);
  expect(asked.unanswered).toBe(1);
  events.emit('message', { kind: 'prepared', loadMs: 7 });
  expect(await second).toMatchObject({ message: { loadMs: 7 } });
});
