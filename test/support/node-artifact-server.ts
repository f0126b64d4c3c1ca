/** The gateway's artifact endpoints for the tiny model, over directories on disk, one a version. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { type Disposable, temporaryDirectory } from './node-client.ts';
import { writeTinyArtifact } from './tiny-model.ts';

export interface ArtifactServer {
  /** The model's index. */
  readonly url: string;
  /** Files that are answered with 404, as `version/name`. */
  readonly missing: Set<string>;
  /** Files that were asked for, likewise. */
  readonly asked: string[];
  /** What happens before a file is answered. */
  beforeAnswer: ((file: string) => Promise<void>) | undefined;
  /** Writes a version and makes it the active one. */
  publish(version: string, scale: number): Promise<void>;
  /** Answers 404 for whatever there is of it. */
  remove(version: string): void;
}

/** @param token asked of callers */
export async function artifactServer(scope: Disposable, token: string): Promise<ArtifactServer> {
  const versions = new Map<string, string>();
  const missing = new Set<string>();
  const asked: string[] = [];
  let active: string | null = null;
  const listener: RequestListener = async (request, response) => {
    const [, , , model, version, file] = (request.url ?? '').split('/');
    if (file !== undefined) asked.push(`${version}/${file}`);
    await server.beforeAnswer?.(`${version}/${file}`);
    const directory = versions.get(version ?? '');
    if (request.headers.authorization !== `Bearer ${token}`) response.writeHead(401).end();
    else if (version === undefined)
      response.end(JSON.stringify({ model, active, versions: [...versions.keys()] }));
    else if (directory === undefined || file === undefined || missing.has(`${version}/${file}`))
      response.writeHead(404).end();
    else response.end(await readFile(join(directory, basename(file))));
  };
  const listening = createServer(listener).listen(0, '127.0.0.1');
  await once(listening, 'listening');
  scope.onDispose(async () => {
    listening.closeAllConnections();
    listening.close();
  });
  const url = `http://127.0.0.1:${(listening.address() as AddressInfo).port}/v1/artifacts/tiny`;
  const server: ArtifactServer = {
    url,
    missing,
    asked,
    beforeAnswer: undefined,
    async publish(version, scale) {
      const directory = await temporaryDirectory(scope);
      await writeTinyArtifact(directory, { version, scale });
      versions.set(version, directory);
      active = version;
    },
    remove: (version) => void versions.delete(version),
  };
  return server;
}
