import { expect, test } from 'vitest';
import { newKeySchema } from '../schema/key-settings.ts';
import { policySchema } from '../schema/policy.ts';
import { validated } from './route.ts';

const faultsOf = (value: unknown, schema: Parameters<typeof validated>[1]) => {
  try {
    validated(value, schema, 'bad-request', 'It');
  } catch (error) {
    return (error as { details: { errors: { path: string; message: string }[] } }).details.errors;
  }
  return [];
};

test('what a document lacks is said to be missing, what is wrong with the rest stays as it is', () => {
  const faults = new Map(
    faultsOf({ reserveMs: '5', tier: [] }, policySchema).map(({ path, message }) => [path, message]),
  );
  for (const path of ['schemaVersion', 'quantile', 'infeasible', 'tiers'])
    expect(faults.get(path), path).toBe('is missing');
  expect(faults.get('reserveMs')).toMatch(/expected number, received string/);
  expect(faults.get('')).toMatch(/Unrecognized key: "tier"/);
  expect(faultsOf({ Name: 'shop' }, newKeySchema)).toContainEqual({ path: 'name', message: 'is missing' });
});
