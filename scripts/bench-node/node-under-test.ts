/** The node as people run it: a process of its own, on a free port of this machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NodeReport } from '../../schema/node-report.ts';
import { endWithParent } from '../local/end-with-parent.ts';

const MAIN = fileURLToPath(new URL('../../infra/node/main.ts', import.meta.url));

export interface NodeUnderTest {
  readonly url: string;
  readonly port: number;
  readonly child: ChildProcess;
  report(): Promise<NodeReport>;
  /** Proportional set size of the process, in MB: what it maps with others counts in part. */
  pssMb(): Promise<number>;
  stop(): Promise<void>;
}

/** @throws when it ends before it is ready */
export async function nodeUnderTest(artifact: string, flags: readonly string[] = []): Promise<NodeUnderTest> {
  const args = [MAIN, '--artifact', artifact, '--port', '0', '--log-level', 'error', ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const letGo = endWithParent(child);
  child.once('exit', letGo);
  const url = await readyUrl(child);
  return {
    url,
    port: Number(new URL(url).port),
    child,
    report: async () => (await (await fetch(`${url}/v2/report`)).json()) as NodeReport,
    pssMb: () => pssMb(child.pid ?? 0),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

async function readyUrl(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('the node has no stdout');
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^ready (\S+)/.exec(line)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`the node ended before it was ready: ${child.signalCode ?? child.exitCode}`);
}

/** Of one process and its children. */
export async function pssMb(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'))
    .trim()
    .split(/\s+/)
    .filter(Boolean);
  const own = Number(/^Pss: +(\d+) kB$/m.exec(rollup)?.[1] ?? Number.NaN) / 1024;
  const theirs = await Promise.all(children.map((child) => pssMb(Number(child))));
  return theirs.reduce((sum, each) => sum + each, own);
}

/** Processor time of one process and its children so far, in ms: what work costs, however busy the machine is otherwise. */
export async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'))
    .trim()
    .split(/\s+/)
    .filter(Boolean);
  // User and system time, in the hundredths of a second that Linux counts in.
  const own = (Number(fields[11]) + Number(fields[12])) * 10;
  const theirs = await Promise.all(children.map((child) => cpuMs(Number(child))));
  return theirs.reduce((sum, each) => sum + each, own);
}

/** Processor time of a process's main thread so far, in ms. */
export async function mainThreadCpuMs(pid: number): Promise<number> {
  const [ranNs] = (await readFile(`/proc/${pid}/task/${pid}/schedstat`, 'utf8')).split(' ');
  return Number(ranNs) / 1e6;
}
