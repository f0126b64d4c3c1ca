/**
 * What computes: TensorFlow.js's backends, started here, or onnxruntime, which needs no start. A named backend is used or refused, never replaced; `auto` takes the first that is
 * installed. TensorFlow.js itself goes on with another backend when one fails to start, so what runs is always asserted.
 */
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import { registerGradients } from '../graph/gradients.ts';
import { installWasmKernels } from './wasm/kernels.ts';

const tfjsBackendNames = ['tfjs-node-gpu', 'tfjs-node', 'wasm', 'cpu'] as const;
export type TfjsBackendName = (typeof tfjsBackendNames)[number];

/** In the order in which `auto` takes them. */
export const backendNames = [...tfjsBackendNames, 'onnxruntime'] as const;
export type BackendName = (typeof backendNames)[number];

const require = createRequire(import.meta.url);

/** Backends whose kernels have been replaced: once is enough, and twice would stack. */
const installed = new WeakSet<object>();

/** The npm package that brings each. */
const packages: Readonly<Record<BackendName, string>> = {
  'tfjs-node-gpu': '@tensorflow/tfjs-node-gpu',
  'tfjs-node': '@tensorflow/tfjs-node',
  wasm: '@tensorflow/tfjs-backend-wasm',
  cpu: '@tensorflow/tfjs-backend-cpu',
  onnxruntime: 'onnxruntime-node',
};

interface Backend {
  /** What TensorFlow.js calls it. */
  readonly registered: string;
  /** Native code uses all cores by itself; the others run one worker per core. */
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
 * The backend that `auto` or a name stands for on this machine, without starting it.
 * @throws `backend-unavailable` when its package is not installed
 */
export function chooseBackend(asked: BackendName | 'auto'): BackendName {
  if (asked === 'auto') return backendNames.find((name) => isInstalled(name)) ?? 'cpu';
  if (isInstalled(asked)) return asked;
  throw new SppError('backend-unavailable', `The backend ${asked} is not installed.`, {
    hint: `Run \`npm install --no-save ${packages[asked]}\`, or choose among: ${backendNames
      .filter(isInstalled)
      .join(', ')}.`,
  });
}

/** Is the package that brings the backend there? Says nothing on whether it starts. */
export function isInstalled(name: BackendName): boolean {
  try {
    require.resolve(packages[name]);
    return true;
  } catch {
    return false;
  }
}

/**
 * Starts one of TensorFlow.js's backends in this thread and makes it the one that runs.
 * @throws `backend-unavailable` when it is not installed or does not start
 */
export async function startBackend(name: TfjsBackendName): Promise<TfjsBackendName> {
  chooseBackend(name);
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
  await import(packageName);
}

/** One thread per wasm module (workers bring the parallelism) and the binaries by absolute path, so that any cwd will do. */
async function loadWasm(): Promise<void> {
  const wasm = await import('@tensorflow/tfjs-backend-wasm');
  const entry = require.resolve('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(join(dirname(entry), '..', 'wasm-out') + sep);
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
}
