import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { backendNames, backendPackages, installHint } from './backend-names.ts';

/** npm does not install an optional peer that is asked for by name alone. */
test('what to install is installed by the command that is told, optional peers too', () => {
  const { peerDependencies } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { peerDependencies: Record<string, string> };
  const peers = backendNames.filter((name) =>
    backendPackages[name].some((needed) => peerDependencies[needed]),
  );
  expect(peers).not.toEqual([]);
  for (const name of peers) expect(installHint(name)).toContain('--save-prod');
});
