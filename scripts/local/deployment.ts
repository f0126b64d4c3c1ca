/** Gateway, artifact and node of this machine, brought up in order and taken down in reverse. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { bundleConsole } from './bundle-console.ts';
import { digitRequest, digitsArtifact } from './digits.ts';
import { lastingGateway } from './lasting-gateway.ts';
import type { LocalGateway } from './local-gateway.ts';
import { ownDirectory } from './own-directory.ts';
import { requireFreePort } from './ports.ts';
import { type LocalSecrets, localSecrets, safeJson, writePrivate } from './secrets.ts';
import { type Supervisor, supervise } from './supervisor.ts';
import { uploadOnce } from './upload-once.ts';

export interface DeploymentOptions {
  readonly port: number;
  readonly nodePort: number;
  readonly dataDir: string;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}

/** What people and scripts need to talk to it; kept in `<data-dir>/dev-credentials.json`. */
export interface DevCredentials {
  readonly url: string;
  readonly nodeUrl: string;
  readonly clientKey: string;
  readonly operatorToken: string;
}

export interface Deployment {
  readonly credentials: DevCredentials;
  /** Where they are kept. */
  readonly credentialsFile: string;
  readonly model: string;
  /** A request body for the model. */
  readonly requestFile: string;
  close(): Promise<void>;
}

const NODE_MAIN = fileURLToPath(new URL('../../infra/node/main.ts', import.meta.url));
/** The node's name in the fleet. */
const NODE = 'local';
/** Index of a clearly written seven in the test set. */
const DIGIT = 0;
const READY_TRIES = 1200;
const READY_PAUSE_MS = 100;
/** So many requests give the gateway measurements to predict by, instead of those of first connections. */
const WARM_UP_REQUESTS = 64;

/** @throws `usage` for ports and a directory in use, `interrupted`, and whatever keeps a part from starting */
export async function deploy(options: DeploymentOptions): Promise<Deployment> {
  const { port, nodePort, dataDir, signal, log } = options;
  if (port === nodePort)
    throw new SppError('usage', `Gateway and node cannot both have port ${port}.`, {
      hint: 'Choose another with --node-port.',
    });
  await requireFreePort(port, '--port');
  await requireFreePort(nodePort, '--node-port');
  const running: { close(): Promise<void> }[] = [{ close: await ownDirectory(dataDir) }];
  const close = async () => {
    for (const part of running.splice(0).reverse()) await part.close();
  };
  try {
    const secrets = await localSecrets(join(dataDir, 'secrets.json'));
    const directory = join(dataDir, 'artifacts', 'digits');
    const { manifest } = await digitsArtifact(directory, signal, log);
    const nodeUrl = `http://127.0.0.1:${nodePort}`;
    const consoleDir = join(dataDir, 'console');
    await bundleConsole(consoleDir);
    const gateway = await lastingGateway(
      {
        port,
        nodes: [],
        ...secrets,
        dataDir: join(dataDir, 'gateway'),
        consoleDir,
        // The node is on this machine, and registers as any other does.
        vars: { PRIVATE_NODES: 'on' },
        callerHandlesSignals: true,
      },
      log,
    );
    running.push(gateway);
    await uploadOnce({
      url: gateway.url,
      dir: directory,
      manifest,
      token: secrets.operatorToken,
      signal,
      log,
    });
    const credentialsFile = join(dataDir, 'dev-credentials.json');
    const clientKey = await reusableKey(gateway, credentialsFile, secrets);
    const registrationToken = await register(gateway, nodeUrl, secrets);
    const node = startNode(gateway, manifest, options, { ...secrets, registrationToken });
    running.push({ close: () => node.stop() });

    const requestFile = join(dataDir, 'digit.json');
    const body = JSON.stringify(await digitRequest(manifest, DIGIT));
    await writeFile(requestFile, body);
    await inferenceAnswers(gateway, manifest.model.id, clientKey, body, node, signal);
    const credentials = { url: gateway.url, nodeUrl, clientKey, operatorToken: secrets.operatorToken };
    await writePrivate(credentialsFile, credentials);
    return { credentials, credentialsFile, model: manifest.model.id, requestFile, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The key of the last start while it is good, else a new one. */
async function reusableKey(
  { url }: Pick<LocalGateway, 'url'>,
  file: string,
  secrets: LocalSecrets,
): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const known = z.looseObject({ clientKey: z.string() }).safeParse(safeJson(text));
  if (known.success) {
    const response = await fetch(`${url}/v2`, {
      headers: { authorization: `Bearer ${known.data.clientKey}` },
    });
    await response.body?.cancel();
    if (response.ok) return known.data.clientKey;
  }
  const response = await fetch(`${url}/v1/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secrets.operatorToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'local development' }),
  });
  if (!response.ok)
    throw new SppError('internal', `The gateway made no client key: ${await response.text()}`);
  return z.looseObject({ key: z.string() }).parse(await response.json()).key;
}

/** Takes the place of the last start's registration, whose token nobody has any more. @returns the node's own token */
async function register(
  { url }: Pick<LocalGateway, 'url'>,
  nodeUrl: string,
  { operatorToken }: LocalSecrets,
): Promise<string> {
  const headers = { authorization: `Bearer ${operatorToken}`, 'content-type': 'application/json' };
  const before = await fetch(`${url}/v1/nodes/${NODE}`, { method: 'DELETE', headers });
  await before.body?.cancel();
  const response = await fetch(`${url}/v1/nodes`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ name: NODE, url: nodeUrl }),
  });
  if (!response.ok)
    throw new SppError('internal', `The gateway did not register the node: ${await response.text()}`);
  return z.looseObject({ token: z.string() }).parse(await response.json()).token;
}

function startNode(
  { url }: Pick<LocalGateway, 'url'>,
  { model }: Manifest,
  { dataDir, nodePort, log }: DeploymentOptions,
  { nodeToken, registrationToken }: LocalSecrets & { readonly registrationToken: string },
): Supervisor {
  const artifact = `${url}/v1/artifacts/${model.id}`;
  const flags = [
    '--artifact',
    artifact,
    '--port',
    String(nodePort),
    '--name',
    NODE,
    '--gateway',
    url,
    '--cache-dir',
    join(dataDir, 'node'),
    '--log-level',
    'warn',
  ];
  return supervise({
    command: process.execPath,
    args: [NODE_MAIN, ...flags],
    env: { ...process.env, NODE_TOKEN: nodeToken, REGISTRATION_TOKEN: registrationToken },
    log,
  });
}

/** Waits until a real inference comes back, then lets the gateway learn how long they take. */
async function inferenceAnswers(
  { url }: Pick<LocalGateway, 'url'>,
  model: string,
  clientKey: string,
  body: string,
  node: Supervisor,
  signal: AbortSignal,
): Promise<void> {
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}/v2/models/${model}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${clientKey}`, 'content-type': 'application/json' },
      signal,
    });
    return { ok: response.ok, text: await response.text() };
  };
  const infer = () => ask('/infer', { method: 'POST', body });
  let last = '';
  for (let i = 0; i < READY_TRIES && !node.givenUp; i++) {
    // Inferences that no node could take yet would be the first that the console shows: a fleet that refuses.
    const ready = await ask('/ready');
    const { ok, text } = ready.ok ? await infer() : ready;
    if (ok) {
      for (let n = 0; n < WARM_UP_REQUESTS; n++) await infer();
      return;
    }
    last = text;
    await pause(READY_PAUSE_MS, undefined, { signal });
  }
  throw new SppError('not-ready', `No inference was possible: ${last.slice(0, 300)}`, {
    hint: 'The inference node’s log above may say why.',
  });
}
