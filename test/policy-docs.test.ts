/** docs/policy.md: its commands as they stand there, its example, and every member that a policy may have. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { policySchema } from '../schema/policy.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { secrets, type TestGateway, testGateway } from './support/gateway.ts';
import { disposables, temporaryDirectory, tinyArtifact } from './support/node-client.ts';

const DOCS = fileURLToPath(new URL('../docs/', import.meta.url));
const bash = promisify(execFile);
const scope = disposables();
let gateway: TestGateway;
let text: string;
let example: string;

const blocks = (language: string, of: string) =>
  [...of.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);

beforeAll(async () => {
  gateway = await testGateway(scope);
  const token = secrets.operatorToken;
  await uploadArtifact({ dir: await tinyArtifact(scope), url: gateway.url, token });
  text = await readFile(join(DOCS, 'policy.md'), 'utf8');
  [example = ''] = blocks('json', text);
});
afterAll(() => scope.dispose());

test('its commands put the example in force, and take it back', async () => {
  const directory = await temporaryDirectory(scope);
  const [, upload = ''] = blocks('sh', await readFile(join(DOCS, 'deploy.md'), 'utf8'));
  const [operator = ''] = /^operator\(\).*$/m.exec(upload) ?? [];
  const [change = '', keys = ''] = blocks('sh', text);
  const lines = change.split('\n');
  await writeFile(join(directory, 'example.json'), example);
  const commands = [
    `GATEWAY=${gateway.url} SPP_OPERATOR_TOKEN=${secrets.operatorToken}`,
    operator.replace('curl -s', 'curl -sf'),
    lines[0],
    'cp example.json policy.json',
    ...lines.slice(1),
    keys,
  ].join('\n');
  const { stdout } = await bash('bash', ['-ec', commands], { cwd: directory });
  expect(stdout).toContain('"valid":true,"warnings":[]');
  expect(stdout).toContain('"rollbackTo":null');
  expect(stdout).toContain('"key":"sp_');
  const { versions } = (await (await gateway.operator('GET', '/v1/policy/versions')).json()) as {
    versions: { version: number; rollbackTo: number | null }[];
  };
  expect(versions).toMatchObject([{ version: 2, rollbackTo: 0 }, { version: 1 }, { version: 0 }]);
});

test('it names every member of a policy, its classes, overrides, tiers and prices', () => {
  const { shape } = policySchema;
  const members = [
    ...Object.keys(shape),
    ...Object.keys(shape.classes.unwrap().element.shape),
    ...Object.keys(shape.overrides.unwrap().element.shape),
    ...Object.keys(shape.prices.unwrap().element.shape),
    ...Object.keys(shape.tiers.element.shape),
  ];
  expect(members.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
