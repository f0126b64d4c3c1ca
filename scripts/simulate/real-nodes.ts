/** Three real nodes, each a process: a steady one, one that is slowed, and one that can be killed and comes back. */
import { setTimeout as pause } from 'node:timers/promises';
import { type NodeUnderTest, nodeUnderTest } from '../bench-node/node-under-test.ts';
import { timesAlone } from '../bench-node/times-alone.ts';
import { lastingPort } from '../local/ports.ts';

const NODE_NAMES = ['steady', 'slow', 'flapping'] as const;

export interface RealNode {
  readonly name: string;
  readonly port: number;
}

export interface RealNodes {
  readonly all: readonly RealNode[];
  /** Median time that the steady node says its dense level takes, in ms. */
  readonly denseMs: number;
  /** Kills the flapping one in a while, which then comes back. @returns when it has */
  flap(): Promise<void>;
  close(): Promise<void>;
}

/** The slow node's process is stopped for two thirds of each such time, which makes it three times slower in all it does. */
const THROTTLE_MS = 6;
const STOPPED_SHARE = 2 / 3;
/** The flapping node is killed so long after it was told to: in the middle of a burst that begins then. */
const UP_MS = 1250;
/** Until it is started again; it then takes a while to be ready. */
const DOWN_MS = 3000;

export async function realNodes(artifact: string, signal: AbortSignal): Promise<RealNodes> {
  const running = new Map<string, NodeUnderTest>();
  const all: RealNode[] = [];
  // A run that fails leaves no node behind, the stopped one least of all.
  process.once('exit', () => {
    for (const { child } of running.values()) child.kill('SIGKILL');
  });
  const start = async ({ name, port }: RealNode) => {
    const flags = ['--name', name, '--port', String(port), '--workers', '1'];
    running.set(name, await nodeUnderTest(artifact, flags));
  };
  for (const name of NODE_NAMES) {
    const node = { name, port: await lastingPort() };
    all.push(node);
    await start(node);
  }
  const steady = running.get('steady') as NodeUnderTest;
  const levels = (await steady.report()).models[0]?.levels ?? [];
  const denseMs = timesAlone(levels, Math.max(1, levels.length)).at(-1)!.p50Ms;
  const throttling = throttle(running.get('slow') as NodeUnderTest, signal);
  const flapping = all.find(({ name }) => name === 'flapping') as RealNode;

  return {
    all,
    denseMs,
    async flap() {
      await pause(UP_MS);
      running.get(flapping.name)?.child.kill('SIGKILL');
      await pause(DOWN_MS);
      await start(flapping);
    },
    async close() {
      await throttling;
      for (const node of running.values()) await node.stop();
    },
  };
}

async function throttle({ child }: NodeUnderTest, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && child.exitCode === null) {
    child.kill('SIGSTOP');
    await pause(THROTTLE_MS * STOPPED_SHARE);
    child.kill('SIGCONT');
    await pause(THROTTLE_MS * (1 - STOPPED_SHARE));
  }
}
