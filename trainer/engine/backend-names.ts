/** What computes gradients: the names, what brings each, and what is there. A named one is used or refused, never replaced. */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { SppError } from '../../schema/errors.ts';

const require = createRequire(import.meta.url);

/** In the order in which `tfjs` takes them: GPUs by CUDA, native code, GPUs by WebGPU, then what is always there. */
const tfjsBackendNames = ['tfjs-node-gpu', 'tfjs-node', 'webgpu', 'wasm', 'cpu'] as const;
export type TfjsBackendName = (typeof tfjsBackendNames)[number];

/** In the order in which `auto` takes them: fastest first, as measured; `trainer doctor` measures them on a model of one's own. */
const automatic = [
  'onnxruntime-cuda',
  'tfjs-node-gpu',
  'onnxruntime',
  'tfjs-node',
  'webgpu',
  'wasm',
  'cpu',
] as const;

/** onnxruntime's execution providers, by backend. WebGPU runs when it is named: a GPU in software would win nothing, and on real ones small models lose. */
export const onnxruntimeProviders = {
  onnxruntime: 'cpu',
  'onnxruntime-cuda': 'cuda',
  'onnxruntime-webgpu': 'webgpu',
} as const;
export type OnnxruntimeBackendName = keyof typeof onnxruntimeProviders;

export const backendNames = [...automatic, 'onnxruntime-webgpu'] as const;
export type BackendName = (typeof backendNames)[number];

/** What a person may ask for. */
export const backendChoices = ['auto', 'tfjs', ...backendNames] as const;
export type BackendChoice = (typeof backendChoices)[number];

/** The npm packages that bring each. */
export const backendPackages: Readonly<Record<BackendName, readonly string[]>> = {
  'tfjs-node-gpu': ['@tensorflow/tfjs-node-gpu'],
  'tfjs-node': ['@tensorflow/tfjs-node'],
  webgpu: ['webgpu', '@tensorflow/tfjs-backend-webgpu'],
  wasm: ['@tensorflow/tfjs-backend-wasm'],
  cpu: ['@tensorflow/tfjs-backend-cpu'],
  onnxruntime: ['onnxruntime-node'],
  'onnxruntime-cuda': ['onnxruntime-node'],
  'onnxruntime-webgpu': ['onnxruntime-node'],
};

export function isOnnxruntime(name: BackendName): name is OnnxruntimeBackendName {
  return name in onnxruntimeProviders;
}

/** How to get a backend that is not there. npm leaves out what package.json calls an optional peer, unless it is told to save it as something else. */
export function installHint(name: BackendName): string {
  return name === 'onnxruntime-cuda'
    ? 'Install onnxruntime-node with ONNXRUNTIME_NODE_INSTALL=cuda12'
    : `Run \`npm install --no-save --save-prod ${backendPackages[name].join(' ')}\``;
}

/**
 * What to try, in order, without starting any: a named backend alone, or all that are installed.
 * @throws `backend-unavailable` when a package that a named one needs is not installed
 */
export function candidateBackends(asked: BackendChoice): BackendName[] {
  if (asked === 'auto') return automatic.filter(isInstalled);
  if (asked === 'tfjs') return tfjsBackendNames.filter(isInstalled);
  if (isInstalled(asked)) return [asked];
  throw new SppError('backend-unavailable', `The backend ${asked} is not installed.`, {
    hint: `${installHint(asked)}; or choose among: ${backendNames.filter(isInstalled).join(', ')}.`,
  });
}

/**
 * What is asked for, before anything is computed.
 * @throws `backend-unavailable` as `candidateBackends`, `usage` where no candidate computes activations twice
 */
export function assertBackend(asked: BackendChoice, recompute: boolean): void {
  const candidates = candidateBackends(asked);
  if (recompute && !candidates.some(isOnnxruntime)) throw keepsActivations(asked);
}

export function keepsActivations(name: BackendChoice): SppError {
  return new SppError('usage', `Only onnxruntime computes activations twice, ${name} keeps them.`, {
    hint: 'Use --backend onnxruntime, or leave --recompute out.',
  });
}

const CUDA_LIBRARY =
  process.platform === 'win32' ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so';

function onnxruntimeLibraries(): string {
  const root = join(dirname(require.resolve('onnxruntime-node')), '..');
  const [version = ''] = readdirSync(join(root, 'bin'));
  return join(root, 'bin', version, process.platform, process.arch);
}

/** Are the packages that bring the backend there? Says nothing on whether it starts. */
export function isInstalled(name: BackendName): boolean {
  // Its library is downloaded after the package, or not.
  if (name === 'onnxruntime-cuda') return existsSync(join(onnxruntimeLibraries(), CUDA_LIBRARY));
  try {
    for (const needed of backendPackages[name]) require.resolve(needed);
    return true;
  } catch {
    return false;
  }
}
