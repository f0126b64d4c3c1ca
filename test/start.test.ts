/** `npm start` as a process: what it prints works as printed, it stops cleanly, and it says what keeps it from starting. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openArtifact } from '../schema/artifact/store.ts';
import type { InferResponse } from '../schema/protocol.ts';
import { lastingPort } from '../scripts/local/ports.ts';
import { buildPath } from '../trainer/build/build-path.ts';
import { buildOptionsSchema } from '../trainer/build/options.ts';
import { silentProgress } from '../trainer/build/progress.ts';
import { openMnist } from '../trainer/data/idx-dataset.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { disposables, temporaryDirectory } from './support/node-client.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const scope = disposables();
let dataDir: string;

beforeAll(async () => {
  dataDir = await temporaryDirectory(scope);
  // Few levels and steps: what is tested here is not how good the path is.
  await buildPath({
    modelPath: join(ROOT, 'examples/digits/digits.onnx'),
    dataset: await openMnist(),
    out: join(dataDir, 'artifacts', 'digits'),
    options: buildOptionsSchema.parse({
      id: 'digits',
      levels: 3,
      steps: 10,
      recover: 'off',
      frontier: false,
      batch: 16,
      calibration: 128,
      testSamples: 1000,
      workers: 1,
    }),
    resume: false,
    force: false,
    progress: silentProgress,
  });
});
afterAll(() => scope.dispose());

function start(flags: readonly string[]) {
  const child = spawn(process.execPath, ['scripts/start.ts', ...flags], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  scope.onDispose(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return { child, exited, stderr: () => stderr };
}

/** Lines of stdout up to the last of the two requests to try. */
async function untilReady(child: ChildProcess): Promise<string[]> {
  const lines: string[] = [];
  if (child.stdout === null) throw new Error('no stdout');
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (lines.filter((known) => known.startsWith('curl')).length === 2) return lines;
  }
  throw new Error(`it ended before it was ready, after: ${lines.join('\n')}`);
}

/** The artifact under the name of another version. */
async function renamed(version: string): Promise<string> {
  const directory = await temporaryDirectory(scope);
  await cp(join(dataDir, 'artifacts', 'digits'), directory, { recursive: true });
  const file = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as { model: object };
  await writeFile(file, JSON.stringify({ ...manifest, model: { ...manifest.model, version } }));
  return directory;
}

const hasCurl = spawnSync('curl', ['--version']).status === 0;

describe('npm start', () => {
  test.skipIf(!hasCurl)(
    '(needs curl) serves, prints requests that work as printed, and takes everything down when it is stopped',
    async () => {
      const [port, nodePort] = [await lastingPort(), await lastingPort()];
      const flags = ['--port', String(port), '--node-port', String(nodePort), '--data-dir', dataDir];
      const keys: string[] = [];
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        const { child, exited, stderr } = start(flags);
        const lines = await untilReady(child);
        expect(lines[0]).toMatch(/^ready /);
        const file = join(dataDir, 'dev-credentials.json');
        expect((await stat(file)).mode & 0o777).toBe(0o600);
        const credentials = JSON.parse(await readFile(file, 'utf8')) as Record<string, string>;
        expect(credentials).toMatchObject({
          url: `http://127.0.0.1:${port}`,
          nodeUrl: `http://127.0.0.1:${nodePort}`,
        });
        keys.push(credentials.clientKey ?? '');
        const headers = { authorization: `Bearer ${credentials.operatorToken}` };
        const metrics = await (await fetch(`${credentials.url}/metrics`, { headers })).text();
        expect(metrics).toContain('spp_gateway_requests_total{');
        expect(metrics, 'no inference was asked for in vain').not.toContain('decision="no-node"');
        const fleet = await fetch(`${credentials.url}/v1/nodes`, { headers });
        const { registered } = (await fleet.json()) as { registered: { name: string; url: string }[] };
        expect(registered).toMatchObject([{ name: 'local', url: credentials.nodeUrl }]);

        for (const line of lines.filter((known) => known.startsWith('curl'))) {
          const { stdout } = await promisify(execFile)('bash', ['-c', line], { cwd: dataDir });
          const [head = '', body = ''] = stdout.split('\r\n\r\n');
          expect(head).toMatch(/^HTTP\/1.1 200/);
          const { outputs } = JSON.parse(body) as InferResponse;
          const logits = outputs[0]?.data as number[];
          expect(logits.indexOf(Math.max(...logits))).toBe(7);
        }
        const { url = '', operatorToken = '' } = credentials;
        if (keys.length === 1)
          await uploadArtifact({ dir: await renamed('mine'), url, token: operatorToken });
        const index = await fetch(`${url}/v1/artifacts/digits`, { headers });
        // What was uploaded since stays in force over the next start.
        expect(await index.json()).toMatchObject({ active: 'mine' });
        child.kill(signal);
        expect(await exited).toBe(0);
        expect(stderr()).toContain(keys.length === 1 ? 'uploaded digits' : 'is uploaded already');
        for (const taken of [port, nodePort]) {
          const server = createServer().listen(taken, '127.0.0.1');
          await once(server, 'listening');
          server.close();
        }
      }
      // The second start took over the key of the first.
      expect(keys[1]).toBe(keys[0]);
      const artifact = await openArtifact(join(dataDir, 'artifacts', 'digits'));
      expect(artifact.manifest.model.id).toBe('digits');
    },
  );

  test('says which port is taken and how to choose another', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    scope.onDispose(async () => server.close());
    const { port } = server.address() as { port: number };
    const { exited, stderr } = start(['--port', String(port), '--data-dir', dataDir]);
    expect(await exited).toBe(2);
    expect(stderr()).toMatch(new RegExp(`Port ${port} .*--port`));
  });

  test('minds no reader that has gone', async () => {
    const { child, exited } = start(['--port', '1', '--node-port', '1', '--data-dir', dataDir]);
    for (const read of [child.stdout, child.stderr]) read.destroy();
    // Of the command, not of what it could not say.
    expect(await exited).toBe(2);
  });

  test.each([['--port', 'many'], ['--surprise']])('refuses the flags %s %s', async (...flags) => {
    const { exited, stderr } = start(flags.filter((flag) => flag !== undefined));
    expect(await exited).toBe(2);
    expect(stderr()).toContain('--help');
  });
});
