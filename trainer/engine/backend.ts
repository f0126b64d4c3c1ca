/** Starts TensorFlow.js's backends. It goes on with another one by itself when one fails to start, so what runs is always asserted. */
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import { registerGradients } from '../graph/gradients.ts';
import { candidateBackends, type TfjsBackendName } from './backend-names.ts';
import { installWasmKernels } from './wasm/kernels.ts';

const require = createRequire(import.meta.url);

/** Backends whose kernels have been replaced: once is enough, and twice would stack. */
const installed = new WeakSet<object>();

interface Backend {
  /** What TensorFlow.js calls it. */
  readonly registered: string;
  /** Native code and GPUs run as one, in the calling thread; the others run one worker per core. */
  readonly native: boolean;
  readonly load: () => Promise<void>;
}

const backends: Readonly<Record<TfjsBackendName, Backend>> = {
  'tfjs-node-gpu': {
    registered: 'tensorflow',
    native: true,
    load: () => loadNative('@tensorflow/tfjs-node-gpu'),
  },
  'tfjs-node': {
    registered: 'tensorflow',
    native: true,
    load: () => loadNative('@tensorflow/tfjs-node'),
  },
  webgpu: {
    registered: 'webgpu',
    native: true,
    load: loadWebGpu,
  },
  wasm: {
    registered: 'wasm',
    native: false,
    load: loadWasm,
  },
  cpu: {
    registered: 'cpu',
    native: false,
    load: async () => void (await import('@tensorflow/tfjs-backend-cpu')),
  },
};

export function isNative(name: TfjsBackendName): boolean {
  return backends[name].native;
}

/**
 * Starts one of TensorFlow.js's backends in this thread and makes it the one that runs.
 * @throws `backend-unavailable` when it is not installed or does not start
 */
export async function startBackend(name: TfjsBackendName): Promise<TfjsBackendName> {
  candidateBackends(name);
  const { registered, load } = backends[name];
  // Without this TensorFlow.js advertises its native packages and warns about kernels.
  tf.env().set('PROD', true);
  try {
    await load();
    registerGradients();
    await tf.setBackend(registered);
    await tf.ready();
  } catch (cause) {
    throw unusable(name, (cause as Error).message, cause);
  }
  if (tf.getBackend() !== registered)
    throw unusable(name, `TensorFlow.js fell back to ${tf.getBackend()}`, undefined);
  if (name === 'wasm' && !installed.has(tf.backend())) {
    installWasmKernels();
    installed.add(tf.backend());
  }
  return name;
}

function unusable(name: TfjsBackendName, reason: string, cause: unknown): SppError {
  return new SppError('backend-unavailable', `The backend ${name} does not start: ${reason}.`, {
    hint: 'Choose another with --backend, for instance wasm or cpu.',
    cause,
  });
}

/** The native binding still calls a function that Node 23 dropped. */
async function loadNative(packageName: string): Promise<void> {
  const legacy = util as typeof util & { isNullOrUndefined?: (value: unknown) => boolean };
  legacy.isNullOrUndefined ??= (value) => value == null;
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  await import(optional(packageName));
}

/** Dawn, which brings WebGPU to Node, stands in for the browser's `navigator.gpu`. */
async function loadWebGpu(): Promise<void> {
  const dawn: { create(flags: string[]): unknown; globals: object } = await import(optional('webgpu'));
  Object.assign(globalThis, dawn.globals);
  const gpu = dawn.create([]);
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true });
  await import(optional('@tensorflow/tfjs-backend-webgpu'));
}

/** Packages that need not be there have no types here. */
function optional(name: string): string {
  return pathToFileURL(require.resolve(name)).href;
}

/** One thread per wasm module (workers bring the parallelism) and the binaries by absolute path, so that any cwd will do. */
async function loadWasm(): Promise<void> {
  const wasm = await import('@tensorflow/tfjs-backend-wasm');
  const entry = require.resolve('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(join(dirname(entry), '..', 'wasm-out') + sep);
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
}
