/** What this machine offers: cores, memory, and devices as the system shows them. Looking costs nothing and starts nothing. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism, cpus, freemem } from 'node:os';
import { promisify } from 'node:util';
import { machineMemory } from '../../schema/machine-memory.ts';

export interface Machine {
  readonly processor: string;
  /** What this process may use; containers often give fewer than the board has. */
  readonly cores: number;
  readonly memoryBytes: number;
  readonly freeBytes: number;
  /** Names of NVIDIA GPUs, as their driver tells them. */
  readonly cudaDevices: readonly string[];
  /** Devices that Vulkan may find: render nodes, and drivers that are installed (software ones too). */
  readonly vulkan: { readonly renderNodes: readonly string[]; readonly drivers: readonly string[] };
}

const RENDER_NODES = '/dev/dri';
const DRIVER_FOLDERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d'];
const ASK_TIMEOUT_MS = 5000;

/** What is not there, as a driver or a device, is an empty list and no error. */
export async function lookAtMachine(): Promise<Machine> {
  const memoryBytes = machineMemory();
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes,
    freeBytes: Math.min(freemem(), memoryBytes),
    cudaDevices: await cudaDevices(),
    vulkan: {
      renderNodes: filesIn(RENDER_NODES).filter((name) => name.startsWith('renderD')),
      drivers: [
        ...(process.env.VK_ICD_FILENAMES?.split(':') ?? []),
        ...DRIVER_FOLDERS.flatMap((folder) => filesIn(folder).map((name) => `${folder}/${name}`)),
      ],
    },
  };
}

async function cudaDevices(): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)(
      'nvidia-smi',
      ['--query-gpu=name,memory.total', '--format=csv,noheader'],
      { timeout: ASK_TIMEOUT_MS },
    );
    return stdout.trim().split('\n').filter(Boolean);
  } catch {
    // No driver, no device.
    return [];
  }
}

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
