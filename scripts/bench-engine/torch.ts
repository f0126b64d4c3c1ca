/** A Python with torch beside the benchmark, or the reason why there is none. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface TorchSide {
  readonly version: string;
  /** One run of `forward`, `masks` or `weights` in ms, or `memory WHAT` in bytes. */
  ask(what: string): Promise<number>;
  close(): void;
}

const NEEDED = 'import torch, timm, transformers';

/** The first of --python, PYTHON and python3 that has what is needed. */
export function findTorchPython(asked: string | undefined): string | undefined {
  const tried = asked === undefined ? [process.env.PYTHON, 'python3'] : [asked];
  return tried.find((name) => name !== undefined && spawnSync(name, ['-c', NEEDED]).status === 0);
}

export async function startTorch(python: string, settings: readonly string[]): Promise<TorchSide> {
  const script = fileURLToPath(new URL('./torch_step.py', import.meta.url));
  const child: ChildProcessWithoutNullStreams = spawn(python, [script, ...settings]);
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += String(chunk);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const line = await lines.next();
    if (line.done) throw new Error(`PyTorch's side ended: ${errors.trim().split('\n').at(-1)}`);
    return line.value;
  };
  const version = await next();
  return {
    version,
    async ask(what) {
      child.stdin.write(`${what}\n`);
      return Number(await next());
    },
    close: () => child.stdin.end(),
  };
}
