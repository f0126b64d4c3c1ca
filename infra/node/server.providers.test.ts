/** Execution providers other than the cpu: one that is missing says so, and webgpu computes the same on a software Vulkan. */
import { existsSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { lastingPort } from '../../scripts/local/ports.ts';
import { disposables, inferOk, tinyArtifact, tinyRequest } from '../../test/support/node-client.ts';
import { nodeProcess } from '../../test/support/node-process.ts';
import { TINY, tinyReference } from '../../test/support/tiny-model.ts';
import { createLogger } from './log.ts';
import { startNode } from './server.ts';

const scope = disposables();
afterEach(() => scope.dispose());

/** SwiftShader, as Debian's chromium brings it: a Vulkan driver that needs no graphics card. */
const SOFTWARE_VULKAN = '/usr/lib/chromium/vk_swiftshader_icd.json';
/** Drivers are reached through it, and it is a package of its own. */
const hasLoader = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'].some(
  (folder) => existsSync(`${folder}/libvulkan.so.1`),
);
const X = [
  [0.5, -1, 2, 0.25],
  [-3, 1, 0, 1],
];

describe('execution providers', () => {
  test.skipIf(existsSync('/usr/local/cuda'))(
    'cuda says what is missing where it is not installed',
    async () => {
      const directory = await tinyArtifact(scope);
      const node = await startNode(
        { artifact: directory, port: 0, workers: 1, ep: 'cuda' },
        { log: createLogger('silent', 'test') },
      );
      scope.onDispose(() => node.close());
      await expect(node.ready).rejects.toMatchObject({
        code: 'backend-unavailable',
        hint: expect.stringContaining('--ep cpu'),
      });
    },
  );

  test.skipIf(!existsSync(SOFTWARE_VULKAN) || !hasLoader)(
    `webgpu answers as the formula does (skipped without ${SOFTWARE_VULKAN} and libvulkan.so.1)`,
    async () => {
      const directory = await tinyArtifact(scope);
      const port = await lastingPort();
      // A process of its own: Dawn keeps its device for as long as the process lives.
      const flags = ['--artifact', directory, '--port', String(port), '--max-batch', '1', '--ep', 'webgpu'];
      const node = nodeProcess(scope, flags, 'secret', { VK_ICD_FILENAMES: SOFTWARE_VULKAN });
      await node.ready;
      const url = (level: number) => `http://127.0.0.1:${port}/v2/models/tiny/versions/${level}/infer`;
      const levels = Array.from({ length: 12 }, (_, i) => i % TINY.widths.length);
      const answers = await Promise.all(levels.map((level) => inferOk(url(level), tinyRequest(X, [3, 0]))));
      for (const [i, { body }] of answers.entries()) {
        const level = levels[i] as number;
        const wanted = tinyReference(level, X, [3, 0]);
        expect(body.outputs[1]?.data).toEqual(wanted.label);
        for (const [at, value] of wanted.logits.flat().entries())
          expect(body.outputs[0]?.data[at], `level ${level}, logit ${at}`).toBeCloseTo(value, 4);
      }
    },
  );
});
