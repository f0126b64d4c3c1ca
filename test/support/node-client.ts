/** Talks to an inference node as a client would, and starts one on a free port for a test. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../../infra/node/log.ts';
import type { NodeOptions } from '../../infra/node/options.ts';
import { type NodeParts, type RunningNode, startNode } from '../../infra/node/server.ts';
import { headerLengthName, joinBody } from '../../schema/binary-tensors.ts';
import type { InferResponse } from '../../schema/protocol.ts';
import { writeTinyArtifact } from './tiny-model.ts';

export interface Disposable {
  onDispose(dispose: () => Promise<unknown>): void;
}

/** Collects what a test opened; `dispose` undoes it, last first. */
export function disposables(): Disposable & { dispose(): Promise<void> } {
  const stack: (() => Promise<unknown>)[] = [];
  return {
    onDispose: (dispose) => void stack.push(dispose),
    async dispose() {
      for (const dispose of stack.splice(0).reverse()) await dispose();
    },
  };
}

export async function temporaryDirectory(scope: Disposable): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spp-'));
  scope.onDispose(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** The tiny model's artifact in a directory of its own. */
export async function tinyArtifact(
  scope: Disposable,
  options?: Parameters<typeof writeTinyArtifact>[1],
): Promise<string> {
  const directory = await temporaryDirectory(scope);
  await writeTinyArtifact(directory, options);
  return directory;
}

/** A node that is ready, silent, and closed with its scope. */
export async function readyNode(
  scope: Disposable,
  options: NodeOptions,
  parts: NodeParts = {},
): Promise<RunningNode> {
  const node = await startNode(
    { port: 0, workers: 1, name: 'test', ...options },
    { log: createLogger('silent', 'test'), ...parts },
  );
  scope.onDispose(() => node.close());
  await node.ready;
  return node;
}

/** An inference request for the tiny model. */
export function tinyRequest(x: readonly (readonly number[])[], token: readonly number[], extra: object = {}) {
  return {
    inputs: [
      { name: 'x', shape: [x.length, 4], datatype: 'FP32', data: x.flat() },
      { name: 'token', shape: [token.length], datatype: 'INT64', data: token },
    ],
    ...extra,
  };
}

/** The same request with its tensors as binary data, and the JSON object's length. */
export function tinyBinaryRequest(
  x: readonly (readonly number[])[],
  token: readonly number[],
  extra: object = {},
): { body: Uint8Array<ArrayBuffer>; headerLength: number } {
  const tails = [Float32Array.from(x.flat()), BigInt64Array.from(token, BigInt)].map(
    (array) => new Uint8Array(array.buffer),
  );
  const inputs = tinyRequest(x, token).inputs.map(({ data: _, ...input }, i) => ({
    ...input,
    parameters: { binary_data_size: tails[i]?.length ?? 0 },
  }));
  return joinBody({ inputs, ...extra }, tails);
}

/** Sends bytes as a client of the binary extension does: without a content type. */
export function postBytes(
  url: string,
  body: Uint8Array<ArrayBuffer>,
  headerLength: string,
): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { [headerLengthName]: headerLength }, body });
}

export function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

export async function inferOk(url: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await post(url, body, headers);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}: ${text}`);
  return { response, body: JSON.parse(text) as InferResponse };
}

/** The problem document of a response that must be one. */
export async function problemOf(response: Response): Promise<Record<string, unknown>> {
  const type = response.headers.get('content-type');
  if (type !== 'application/problem+json')
    throw new Error(`not a problem document but ${response.status} ${type}: ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}
