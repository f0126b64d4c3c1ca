import { expect, test } from 'vitest';
import type { Fleet } from '../nodes/fleet.ts';
import type { CatalogModel, CatalogVersion } from '../storage/catalog.ts';
import { routedVersion } from './routing.ts';

const versions = ['v1', 'v2', 'v3'].map((version, ordinal): [string, CatalogVersion] => [
  version,
  { version, ordinal } as CatalogVersion,
]);

/** @param served by usable nodes */
function routed(activeVersion: string, served: readonly string[], wanted?: string): string {
  const model: CatalogModel = { id: 'm', activeVersion, versionsDeleted: 0, versions: new Map(versions) };
  const fleet = { serves: (_: string, version: string) => served.includes(version) } as unknown as Fleet;
  return routedVersion(model, fleet, wanted).version;
}

test.each([
  ['while nodes change to a new one, the one before', 'v3', ['v1', 'v2'], 'v2'],
  ['the new one as soon as a node has it', 'v3', ['v2', 'v3'], 'v3'],
  [
    'an older one that was made active again, too, although nodes still have the newer one',
    'v2',
    ['v2', 'v3'],
    'v2',
  ],
  ['the newer one until then', 'v2', ['v1', 'v3'], 'v3'],
  ['the active one where no node has any', 'v2', [], 'v2'],
] as const)('requests go to %s', (_, active, served, version) => {
  expect(routed(active, served)).toBe(version);
});

test('a canary’s version goes before, where a node has it', () => {
  expect(routed('v3', ['v1', 'v3'], 'v1')).toBe('v1');
  expect(routed('v3', ['v3'], 'v1')).toBe('v3');
});
