/**
 * The gateway in workerd beside a bare Hono pass-through in workerd and, if it can be had, Portkey's gateway in Node, all
 * before the same node that answers at once. What the bare one fetches Miniflare sends through a worker of its own, which the gateway passes by;
 * so does `straight`, the bare one otherwise. Beside them a worker that asks of the runtime what the gateway asks and does
 * nothing else (`least`), and the same without having bodies whole (`unheld`), which could keep none of the promises that
 * are kept by them. Closed loops of 1, 16 and 128 connections in alternating rounds, one run. Client, node and gateways share
 * this machine's cores.
 *
 * Then how late the end of a latency budget is told, beside the runtime's own timer.
 *
 *   npm run bench:gateway -- [--rounds 5] [--seconds 1] [--warm-up 8] [--connections 1,16,128] [--deadlines 100]
 *     [--portkey DIR|off] [--beside DIR] [--body-kib 588] [--pause-ms 50] [--json]
 *
 * `--body-kib` sends an image's binary data instead of a small JSON body, and has the node itself beside the others; `--pause-ms` has clients wait
 * between an answer and the next request, as few clients do. `--beside` has the gateway of another checkout beside this one's (`beside`).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Command } from 'commander';
import { Miniflare } from 'miniflare';
import { defaultPolicy } from '../schema/policy.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { withProcess } from './bench-gateway/cpu-time.ts';
import { measureLateness } from './bench-gateway/deadlines.ts';
import { binaryHttpRequest, bodyOf, httpRequest } from './bench-gateway/http-request.ts';
import { startPortkey } from './bench-gateway/portkey.ts';
import { measure, report, type Target } from './bench-gateway/rounds.ts';
import { writeStubArtifact } from './bench-gateway/stub-artifact.ts';
import type { ClientAnswer, ClientRound } from './bench-node/client-thread.ts';
import { bundleModule } from './local/bundle-worker.ts';
import { count, positive } from './local/flag-numbers.ts';
import { COMPATIBILITY_DATE, nodeNetwork, startLocalGateway } from './local/local-gateway.ts';
import { freePort } from './local/ports.ts';
import { keepPausesShort } from './local/runtime-flags.ts';

interface Flags {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly connections: readonly number[];
  readonly portkey: string;
  readonly beside?: string;
  readonly deadlines: number;
  readonly bodyKib?: number;
  readonly pauseMs: number;
  readonly json: boolean;
}

const flags = new Command('npm run bench:gateway --')
  .description(
    "the gateway in workerd beside a bare pass-through, the least that it could cost, and Portkey's gateway",
  )
  .option('--rounds <n>', 'of which the medians count', count(1), 5)
  .option('--seconds <s>', 'of one round', positive, 1)
  .option('--warm-up <s>', 'of each side before anything is measured', positive, 8)
  .option('--connections <list>', 'clients at once', (text) => text.split(',').map(count(1)), [1, 16, 128])
  .option(
    '--portkey <directory>',
    "that Portkey's gateway is installed into, once; off: without it",
    join(tmpdir(), 'spp-bench-portkey'),
  )
  .option('--beside <directory>', 'a checkout, with its packages, whose gateway is measured too')
  .option('--deadlines <n>', 'budgets whose end is waited for; 0 for none', count(0), 100)
  .option('--body-kib <n>', 'of binary data, in place of a small JSON body', count(1))
  .option('--pause-ms <ms>', 'between an answer and the next request', count(0), 0)
  .option('--json', 'print JSON', false)
  .parse()
  .opts<Flags>();
const { rounds, connections, deadlines, bodyKib, pauseMs } = flags;
const ms = flags.seconds * 1000;
const PATH = '/v2/models/bench/infer';
const BUDGET_MS = 100;
const WARM_UP_CONNECTIONS = 16;
/** As long as what our gateway is asked with. */
const LIKE_OURS = {
  authorization: `Bearer sp_0123456789ab_${'k'.repeat(43)}`,
  'x-latency-budget': '10s',
};
const secrets = {
  operatorToken: 'operator-token-of-the-benchmark',
  nodeToken: 'node-token-of-the-benchmark-01',
  keyPepper: 'pepper-of-the-benchmark-01234567',
};

const request = (path: string, headers: Readonly<Record<string, string>>) =>
  bodyKib === undefined ? httpRequest(path, headers) : binaryHttpRequest(path, headers, bodyKib);
const closing: (() => unknown)[] = [];
// All sides alike.
keepPausesShort();
try {
  const nodePort = await thread<number>('bench-gateway/stub-node.ts');
  const node = `http://127.0.0.1:${nodePort}`;
  const targets: Record<string, Target> = {
    bare: await started(async () => ({
      port: await workerBefore(node, 'bare-worker.ts', 'fetched'),
      request: request(PATH, {}),
    })),
    straight: await started(async () => ({
      port: await workerBefore(node, 'bare-worker.ts', 'straight'),
      request: request(PATH, {}),
    })),
    least: await started(() => leastBefore(node, 'held')),
    unheld: await started(() => leastBefore(node, 'unheld')),
    ours: await started(() => ourGateway(node, startLocalGateway)),
  };
  if (flags.beside !== undefined) {
    const file = resolve(flags.beside, 'scripts/local/local-gateway.ts');
    const other: { startLocalGateway: typeof startLocalGateway } = await import(file);
    targets.beside = await started(() => ourGateway(node, other.startLocalGateway));
  }
  if (bodyKib !== undefined) {
    const straight = request('/v2/models/bench/versions/3/infer', {});
    targets.node = { port: nodePort, pid: Number.NaN, request: straight };
  } else if (flags.portkey !== 'off') {
    const { started: portkey, pid } = await withProcess('node', async () =>
      startPortkey(flags.portkey, await freePort()),
    );
    if (portkey !== undefined) {
      closing.push(portkey.close);
      const headers = {
        'x-portkey-provider': 'openai',
        'x-portkey-custom-host': `${node}/v1`,
        authorization: 'Bearer none',
      };
      targets.portkey = { port: portkey.port, pid, request: httpRequest('/v1/chat/completions', headers) };
    }
  }
  const client = await clientThread();
  // What is measured is not the first seconds of an isolate, in which code is compiled and its memory grows: all alike.
  for (const { port, request: bytes } of Object.values(targets))
    await client({ port, request: bytes, connections: WARM_UP_CONNECTIONS, ms: flags.warmUp * 1000 });
  const results = [];
  for (const count of connections)
    results.push(await measure(count, targets, client, { rounds, ms, pauseMs }));
  process.stdout.write(flags.json ? `${JSON.stringify(results)}\n` : results.map(report).join('\n'));
  if (deadlines > 0) {
    const late = await lateness(targets, deadlines);
    process.stdout.write(flags.json ? `${JSON.stringify(late)}\n` : latenessReport(late));
  }
} finally {
  for (const close of closing.reverse()) await close();
}
process.exit(0);

async function started(start: () => Promise<Omit<Target, 'pid'>>): Promise<Target> {
  const { started: target, pid } = await withProcess('workerd', start);
  return { ...target, pid };
}

/** The gateway is told to go by medians, so that it goes on sending to a node that hangs now and then. */
async function lateness(
  targets: Readonly<Record<string, { readonly port: number; readonly key?: string }>>,
  times: number,
) {
  const { bare, ours } = targets as Record<'bare' | 'ours', { port: number; key: string }>;
  const headers = { authorization: `Bearer ${ours.key}`, 'x-latency-budget': `${BUDGET_MS}ms` };
  const timer = httpRequest(`/timer/${BUDGET_MS}`, {});
  return measureLateness(
    {
      timer: { port: bare.port, request: timer, status: 200 },
      ours: {
        port: ours.port,
        request: httpRequest(PATH, headers, bodyOf('hang')),
        status: 504,
        between: httpRequest(PATH, headers),
      },
    },
    BUDGET_MS,
    times,
  );
}

function latenessReport(late: Awaited<ReturnType<typeof lateness>>): string {
  const rows = Object.entries(late).map(
    ([name, { p50Ms, p99Ms, maxMs }]) =>
      `  ${name.padEnd(8)} p50 ${p50Ms.toFixed(2)} ms  p99 ${p99Ms.toFixed(2)} ms  most ${maxMs.toFixed(2)} ms`,
  );
  return [
    `\nanswered after the end of a budget of ${BUDGET_MS} ms, beside the runtime's timer:`,
    ...rows,
    '',
  ].join('\n');
}

async function leastBefore(node: string, bodies: 'held' | 'unheld') {
  const port = await workerBefore(node, 'least-worker.ts', 'straight', { BODIES: bodies });
  return { port, request: request(PATH, LIKE_OURS) };
}

async function workerBefore(
  node: string,
  file: string,
  way: 'straight' | 'fetched',
  bindings: Record<string, string> = {},
): Promise<number> {
  const miniflare = new Miniflare({
    modules: true,
    script: await bundleModule(fileURLToPath(new URL(`./bench-gateway/${file}`, import.meta.url))),
    compatibilityDate: COMPATIBILITY_DATE,
    cf: false,
    // As the gateway is reached.
    unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
    bindings: { NODE: node, ...bindings },
    serviceBindings: way === 'straight' ? { NODE_NETWORK: nodeNetwork(false) } : {},
  });
  closing.push(() => miniflare.dispose());
  await miniflare.ready;
  return Number((await miniflare.unsafeGetDirectURL()).port);
}

async function ourGateway(node: string, start: typeof startLocalGateway) {
  const gateway = await start({ port: 0, nodes: [{ name: 'stub', url: node }], ...secrets });
  closing.push(() => gateway.close());
  const dir = await mkdtemp(join(tmpdir(), 'bench-gateway-'));
  closing.push(() => rm(dir, { recursive: true }));
  await writeStubArtifact(dir);
  await uploadArtifact({ dir, url: gateway.url, token: secrets.operatorToken });
  const operator = { authorization: `Bearer ${secrets.operatorToken}`, 'content-type': 'application/json' };
  const policy = await fetch(`${gateway.url}/v1/policy`, { headers: operator });
  await fetch(`${gateway.url}/v1/policy`, {
    method: 'PUT',
    headers: { ...operator, 'if-match': policy.headers.get('etag') ?? '' },
    body: JSON.stringify({ ...defaultPolicy, quantile: 0.5 }),
  });
  const created = await fetch(`${gateway.url}/v1/keys`, {
    method: 'POST',
    headers: operator,
    body: JSON.stringify({ name: 'bench' }),
  });
  const { key } = (await created.json()) as { key: string };
  const headers = { authorization: `Bearer ${key}`, 'x-latency-budget': '10s' };
  return { port: Number(new URL(gateway.url).port), request: request(PATH, headers), key };
}

function thread<T>(file: string): Promise<T> {
  const worker = new Worker(new URL(file, import.meta.url));
  closing.push(() => worker.terminate());
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

async function clientThread(): Promise<(round: ClientRound) => Promise<ClientAnswer>> {
  const worker = new Worker(new URL('bench-node/client-thread.ts', import.meta.url));
  closing.push(() => worker.terminate());
  const failed = new Promise<never>((_, reject) => worker.once('error', reject));
  const answer = () =>
    Promise.race([new Promise<ClientAnswer>((resolve) => worker.once('message', resolve)), failed]);
  await answer();
  return (round) => {
    const answered = answer();
    worker.postMessage(round);
    return answered;
  };
}
