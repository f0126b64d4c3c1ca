import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { isAlive } from '../../schema/process-alive.ts';

const MODULE = fileURLToPath(new URL('end-with-parent.ts', import.meta.url));
const STAY = 'setInterval(() => {}, 1000)';

/** A process with two children that it guards, and lets one of them go. */
const PARENT = `
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { noteChildren } from ${JSON.stringify(MODULE)};
const noted = noteChildren('node');
const child = () => spawn(process.execPath, ['-e', ${JSON.stringify(STAY)}], { stdio: 'ignore', detached: true });
const [kept, letGo] = [child(), child()];
spawn('true');
await Promise.all([once(kept, 'spawn'), once(letGo, 'spawn')]);
const guarded = noted();
guarded.find(({ child }) => child === letGo).letGo();
console.log(kept.pid, letGo.pid, guarded.length);
${STAY};
`;

test('children end with a parent that is killed, but for those that it lets be', async () => {
  const parent = spawn(process.execPath, ['--input-type=module', '-e', PARENT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: parent.stdout }), 'line')) as [string];
  const [kept = 0, letGo = 0, guarded] = line.split(' ').map(Number);
  expect(guarded).toBe(2);
  expect([isAlive(kept), isAlive(letGo)]).toEqual([true, true]);
  parent.kill('SIGKILL');
  await vi.waitFor(() => expect(isAlive(kept)).toBe(false), { timeout: 20_000 });
  expect(isAlive(letGo)).toBe(true);
  process.kill(letGo, 'SIGKILL');
});
