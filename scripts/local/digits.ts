/** The bundled example: its path, built when there is none yet, and a request for it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Artifact, openArtifact } from '../../schema/artifact/store.ts';
import { SppError } from '../../schema/errors.ts';
import type { Manifest } from '../../schema/manifest.ts';
import type { InferRequest } from '../../schema/protocol.ts';
import { type IdxDataset, openMnist } from '../../trainer/data/idx-dataset.ts';
import { mnistNormalisation } from '../../trainer/data/normalisation.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MODEL = 'examples/digits/digits.onnx';

/**
 * Opens the artifact in `directory`; builds it first, or goes on building it, when it is not complete.
 * @param signal stops a build, which keeps its checkpoint
 * @throws `interrupted`; `internal` when the build fails, which has then told why
 */
export async function digitsArtifact(
  directory: string,
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<Artifact> {
  const present = await openIfComplete(directory);
  if (present !== undefined) return present;
  log(`building the path of ${MODEL} (once; about a minute on two idle cores)`);
  await build(directory, signal);
  return openArtifact(directory);
}

/** One image of the test set as a request, normalised as the artifact says. */
export async function digitRequest(manifest: Manifest, index: number): Promise<InferRequest> {
  const dataset = await openDigits(manifest);
  const [port] = manifest.inputs;
  if (port === undefined) throw new Error('A manifest has at least one input.');
  const { dims, data } = dataset.test.images([index]);
  return {
    inputs: [
      {
        name: port.name,
        shape: [...dims],
        datatype: 'FP32',
        data: Array.from(data as Float32Array, (value) => Number(value.toPrecision(7))),
      },
    ],
  };
}

/** MNIST, normalised as the artifact's manifest says. */
export function openDigits(manifest: Manifest): Promise<IdxDataset> {
  const [port] = manifest.inputs;
  return openMnist(manifest.preprocessing[port?.name ?? ''] ?? mnistNormalisation);
}

async function openIfComplete(directory: string): Promise<Artifact | undefined> {
  try {
    return await openArtifact(directory);
  } catch (error) {
    if (error instanceof SppError && error.code === 'unknown-artifact') return undefined;
    throw error;
  }
}

async function build(directory: string, signal: AbortSignal): Promise<void> {
  const args = [
    'trainer/cli/main.ts',
    'build-path',
    MODEL,
    '--data',
    'mnist',
    '--out',
    directory,
    '--resume',
    // Closed-form compensation is as good here, and the first start is two minutes shorter.
    '--recover',
    'off',
  ];
  // In a group of its own: the first signal makes it keep a checkpoint, and a Ctrl-C must not send it two.
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  });
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const [code] = (await once(child, 'exit')) as [number | null];
  signal.removeEventListener('abort', stop);
  if (signal.aborted)
    throw new SppError('interrupted', 'The build was interrupted; it goes on from its checkpoint next time.');
  if (code !== 0)
    throw new SppError('internal', `The build of ${MODEL} failed; it said why above.`, {
      hint: `Start again to go on from its checkpoint, or delete ${directory} to begin anew.`,
    });
}
