/** The commands of docs/deploy.md, from the upload to the first answer, as they stand there: only the gateway is one of this machine. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { freePort } from '../scripts/local/ports.ts';
import { secrets, type TestGateway, testGateway } from './support/gateway.ts';
import { disposables, temporaryDirectory, tinyArtifact, tinyRequest } from './support/node-client.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const bash = promisify(execFile);
const scope = disposables();
let gateway: TestGateway;
let directory: string;
let nodeUrl: string;
/** The document's blocks of commands: account, upload, node, question. */
let blocks: readonly string[];

beforeAll(async () => {
  gateway = await testGateway(scope, { vars: { PRIVATE_NODES: 'on' } });
  directory = await temporaryDirectory(scope);
  nodeUrl = `http://127.0.0.1:${await freePort()}`;
  await mkdir(join(directory, 'secrets'));
  for (const [name, secret] of [
    ['OPERATOR_TOKEN', secrets.operatorToken],
    ['NODE_TOKEN', secrets.nodeToken],
  ])
    await writeFile(join(directory, 'secrets', String(name)), `${secret}\n`);
  await writeFile(join(directory, 'digit.json'), JSON.stringify(tinyRequest([[1, 2, 3, 4]], [1])));
  const document = await readFile(join(ROOT, 'docs/deploy.md'), 'utf8');
  const artifact = await tinyArtifact(scope);
  const here = [
    [/^GATEWAY=.*$/m, `GATEWAY=${gateway.url} MODEL=tiny DIR=${artifact}`],
    [/https:\/\/node-1\.example\.org/g, nodeUrl],
    [/\bsecrets\//g, `${directory}/secrets/`],
    [/\.data\/digit\.json/g, join(directory, 'digit.json')],
    [/curl -s/g, 'curl -sf'],
  ] as const;
  blocks = [...document.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text = '']) =>
    here.reduce((commands, [from, to]) => commands.replaceAll(new RegExp(from, 'gm'), to), text),
  );
});
afterAll(() => scope.dispose());

test('lead to the first answer', async () => {
  const [, upload = '', serve = '', ask = ''] = blocks;
  const settings = upload.split('\n').slice(0, 2).join('\n');
  const { stdout } = await bash('bash', ['-ec', upload], { cwd: ROOT });
  const [key] = /sp_[\w-]+/.exec(stdout) ?? [];
  const [token] = /nd_[\w-]+/.exec(stdout) ?? [];
  expect([key, token]).toEqual([expect.any(String), expect.any(String)]);

  // In a group of its own, so that all that the command starts ends with it.
  const started = `${settings}\n${serve.replace('nd_...', String(token)).trimEnd()} --port ${new URL(nodeUrl).port} --log-level error`;
  const node = spawn('bash', ['-c', started], { cwd: ROOT, stdio: 'ignore', detached: true });
  const ended = once(node, 'exit');
  scope.onDispose(async () => {
    if (node.pid !== undefined && node.exitCode === null) process.kill(-node.pid, 'SIGTERM');
    await ended;
  });

  const asked = `${settings}\n${ask.replace('sp_...', String(key))}`;
  const answer = await vi.waitFor(() => bash('bash', ['-ec', asked], { cwd: ROOT }), {
    timeout: 60_000,
    interval: 500,
  });
  expect(answer.stdout).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer.stdout).toContain('"model_name":"tiny"');
}, 120_000);
