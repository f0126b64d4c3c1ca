/**
 * npm run fuzz:api [-- --examples 40 --seed 1 --paths '^/v2']
 * Schemathesis against the gateway in workerd, by the gateway's own OpenAPI document: no answer may be a server's error,
 * and each must be as the document says. The first run makes a Python environment in `.venv-fuzz` (network needed).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { count } from '../../scripts/local/flag-numbers.ts';
import { contractFleet } from '../support/contract-fleet.ts';
import { secrets } from '../support/gateway.ts';
import { disposables } from '../support/node-client.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const VENV = join(ROOT, '.venv-fuzz');
const SCHEMATHESIS = 'schemathesis==4.32.5';

/**
 * What answers are held to. What a document cannot say (a policy's inner sense) keeps `positive_data_acceptance` out, and
 * RFC 6585's 428 for a missing If-Match `missing_required_header`, which does not know it.
 */
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'unsupported_method',
  'allow_header_conformance',
  'ignored_auth',
];

/** So that requests come to what there is, and not only to 404. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  model: ['tiny', 'nowhere'],
  name: ['a', 'spare', 'nowhere'],
  level: ['0', '1', '2', '9', '-1', '00'],
  version: ['0', '1', 'v1', '999999'],
  file: ['manifest.json', 'weights-0.bin'],
};

const PATHS = {
  heartbeats: '^/v1/heartbeats',
  clients: '^/v2',
  operators: '^/(v1|problems|openapi|metrics)',
} as const;

const values = new Command('npm run fuzz:api --')
  .description("Schemathesis against the gateway in workerd, by the gateway's own OpenAPI document")
  .option('--examples <n>', 'requests made up for each operation', count(1), 40)
  .option('--seed <n>', 'of what is made up', count(0), 1)
  .addOption(new Option('--paths <regexp>', 'only these addresses').choices(Object.values(PATHS)))
  .parse()
  .opts<{ examples: number; seed: number; paths?: string }>();

const scope = disposables();
try {
  await haveSchemathesis();
  const { gateway } = await contractFleet(scope, { MAX_BODY_BYTES: String(2 ** 20), PRIVATE_NODES: 'on' });
  const spare = await gateway.operator('POST', '/v1/nodes', {
    body: { name: 'spare', url: 'https://spare.example.org' },
  });
  const { token: nodeToken } = (await spare.json()) as { token: string };
  const directory = await mkdtemp(join(tmpdir(), 'fuzz-'));
  scope.onDispose(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'openapi.json');
  await writeFile(file, JSON.stringify(await narrowed(gateway.url)));
  const runs = [
    { paths: PATHS.heartbeats, token: nodeToken },
    { paths: PATHS.clients, token: gateway.clientKey },
    { paths: PATHS.operators, token: secrets.operatorToken },
  ];
  const codes: number[] = [];
  for (const { paths, token } of runs)
    if (values.paths === undefined || values.paths === paths)
      codes.push(await fuzz(file, gateway.url, paths, token));
  process.exitCode = Math.max(...codes);
} finally {
  await scope.dispose();
}

async function haveSchemathesis(): Promise<void> {
  const there = await access(join(VENV, 'bin/schemathesis')).then(
    () => true,
    () => false,
  );
  if (there) return;
  await run('python3', ['-m', 'venv', VENV]);
  await run(join(VENV, 'bin/pip'), ['install', '--quiet', SCHEMATHESIS]);
}

/** The gateway's document with the names of what this gateway has. */
async function narrowed(url: string): Promise<unknown> {
  const document: unknown = await (await fetch(`${url}/openapi.json`)).json();
  return JSON.parse(JSON.stringify(document), (_, value: unknown) => {
    if (typeof value !== 'object' || value === null || !('in' in value) || value.in !== 'path') return value;
    const known = 'name' in value ? KNOWN[String(value.name)] : undefined;
    return known === undefined
      ? value
      : { ...value, schema: { anyOf: [{ enum: known }, { type: 'string', minLength: 1, maxLength: 128 }] } };
  });
}

async function fuzz(file: string, url: string, paths: string, token: string): Promise<number> {
  return run(
    join(VENV, 'bin/schemathesis'),
    [
      'run',
      file,
      ...['--url', url],
      ...['--include-path-regex', paths],
      ...['--header', `Authorization: Bearer ${token}`],
      ...['--checks', CHECKS.join(',')],
      ...['--phases', 'examples,coverage,fuzzing'],
      ...['--max-examples', String(values.examples)],
      ...['--seed', String(values.seed)],
      '--continue-on-failure',
      '--no-color',
    ],
    true,
  );
}

/** @returns the exit code */
async function run(command: string, args: readonly string[], mayFail = false): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit', cwd: tmpdir() });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0 && !mayFail) throw new Error(`${command} ended with ${code}.`);
  return code ?? 1;
}
