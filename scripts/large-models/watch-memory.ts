/**
 * npx node scripts/large-models/watch-memory.ts [--every 1] [--most 16] -- COMMAND...
 * Runs a command and looks at the memory of its whole process tree: the proportional set size, which counts a page that several sessions
 * or processes map once (Linux). Prints the largest of each stage that a trainer command reports in its progress lines.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { textTable } from '../../trainer/cli/table.ts';

/** In GiB; `own` are pages that no file holds. */
interface Memory {
  readonly all: number;
  readonly own: number;
}

interface Peak {
  readonly from: number;
  until: number;
  memory: Memory;
}

const command = new Command('watch-memory')
  .argument('<command...>', 'what to run, behind --')
  .option('--every <seconds>', 'between two looks', '1')
  .option(
    '--most <gib>',
    'end the command where it takes more: a machine that is out of memory ends others too',
    'Infinity',
  )
  .parse();
const [program = '', ...rest] = command.args;
const flags = command.opts<{ every: string; most: string }>();
const every = 1000 * Number(flags.every);

const peaks = new Map<string, Peak>();
const started = performance.now();
let stage = 'start';
const child = spawn(program, rest, { stdio: ['ignore', 'inherit', 'pipe'] });
createInterface({ input: child.stderr }).on('line', (line) => {
  process.stderr.write(`${line}\n`);
  stage = stageOf(line) ?? stage;
});
const timer = setInterval(() => look(child.pid ?? 0), every);
child.on('close', (code) => {
  clearInterval(timer);
  const rows = [...peaks].map(([name, { from, until, memory }]) => [
    name,
    ((until - from) / 1000).toFixed(0),
    memory.all.toFixed(2),
    memory.own.toFixed(2),
  ]);
  process.stdout.write(`${textTable(['stage', 's', 'peak GiB', 'of these in no file'], rows)}\n`);
  process.exitCode = code ?? 1;
});

function look(root: number): void {
  const memory = treeOf(root)
    .map(memoryOf)
    .reduce((a, b) => ({ all: a.all + b.all, own: a.own + b.own }), { all: 0, own: 0 });
  const now = performance.now() - started;
  const peak = peaks.get(stage) ?? { from: now, until: now, memory };
  peak.until = now;
  if (memory.all > peak.memory.all) peak.memory = memory;
  peaks.set(stage, peak);
  if (memory.all > Number(flags.most)) child.kill('SIGKILL');
}

/** The process and all that descend from it. */
function treeOf(root: number): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ id: Number(name), parent: parentOf(name) }));
  const tree = [root];
  for (const id of tree) for (const { id: other, parent } of parents) if (parent === id) tree.push(other);
  return tree;
}

/** Of a process that has just ended: none. */
function parentOf(id: string): number {
  // The name before it may hold blanks and brackets.
  return Number(/\) \S (\d+)/.exec(read(`/proc/${id}/stat`))?.[1] ?? -1);
}

function memoryOf(id: number): Memory {
  const text = read(`/proc/${id}/smaps_rollup`);
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) / 2 ** 20;
  return { all: field('Pss'), own: field('Pss_Anon') };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function stageOf(line: string): string | undefined {
  try {
    const { stage: name } = JSON.parse(line) as { stage?: unknown };
    return typeof name === 'string' ? name : undefined;
  } catch {
    return undefined;
  }
}
