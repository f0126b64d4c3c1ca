/** Backends that need a package or a device: held to onnxruntime on the cpu where they are there, each in a process of its own. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { lookAtMachine } from '../doctor/machine.ts';
import { type BackendName, isInstalled } from './backend-names.ts';

const SCRIPT = fileURLToPath(new URL('./optional-backends.case.ts', import.meta.url));
/** A GPU in software, as Debian's chromium brings it, for where there is no device: mesa's own, which counts without it, may be too old for Dawn. */
const SOFTWARE_VULKAN = '/usr/lib/chromium/vk_swiftshader_icd.json';
const { renderNodes, drivers } = (await lookAtMachine()).vulkan;
const own = renderNodes.length > 0 || (drivers.length > 0 && !existsSync(SOFTWARE_VULKAN));
const env = own ? process.env : { ...process.env, VK_ICD_FILENAMES: SOFTWARE_VULKAN };
const loader = ['/usr/lib/x86_64-linux-gnu/libvulkan.so.1', '/usr/lib/aarch64-linux-gnu/libvulkan.so.1'].some(
  existsSync,
);
const vulkan = loader && (own || existsSync(SOFTWARE_VULKAN));

const needs: Readonly<Partial<Record<BackendName, boolean>>> = {
  'tfjs-node-gpu': true,
  'tfjs-node': true,
  webgpu: vulkan,
  'onnxruntime-cuda': true,
  'onnxruntime-webgpu': vulkan,
};

describe.each(Object.keys(needs) as BackendName[])('%s', (backend) => {
  test.skipIf(!isInstalled(backend) || !needs[backend])(
    'gives the gradients of onnxruntime on the cpu (skipped where its package, or for webgpu a Vulkan, is absent)',
    async () => {
      const run = promisify(execFile);
      const { stdout } = await run(process.execPath, [SCRIPT, backend], { env });
      const { started, loss, masks, weights } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
      expect(started).toBe(backend);
      for (const error of [loss, masks, weights]) expect(error).toBeLessThan(1e-4);
    },
  );
});
