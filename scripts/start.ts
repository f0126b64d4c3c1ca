/**
 * npm start [-- --port 8787 --data-dir .data]
 * Everything on this machine: builds the digits path if there is none, starts gateway and node, prints a request to try.
 */
import { resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { SppError } from '../schema/errors.ts';
import { type Deployment, deploy } from './local/deployment.ts';

interface Flags {
  readonly port: number;
  readonly nodePort: number;
  readonly dataDir: string;
}

const command = new Command('npm start --')
  .description('Builds the bundled digits path if there is none, and serves it on 127.0.0.1.')
  .option('--port <port>', 'port of the gateway', portNumber, 8787)
  .option('--node-port <port>', 'port of the inference node', portNumber, 8788)
  .option('--data-dir <directory>', 'artifacts, database, objects and credentials', '.data')
  .showHelpAfterError('(add --help for what this command takes)')
  .exitOverride();

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

// Who read along may have gone, as `head` does: that ends no deployment, nor one that is being ended in order.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

process.exitCode = await main(process.argv);

/** @returns the exit code: 0 stopped as asked, 1 a part failed, 2 the command is wrong */
async function main(argv: readonly string[]): Promise<number> {
  const stopped = new AbortController();
  const stop = () => {
    // A second signal does not wait for anything to end by itself.
    if (stopped.signal.aborted) process.exit(130);
    stopped.abort();
  };
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  try {
    const flags = command.parse(argv).opts<Flags>();
    const log = (line: string) => process.stderr.write(`${line}\n`);
    const deployment = await deploy({
      ...flags,
      dataDir: resolve(flags.dataDir),
      signal: stopped.signal,
      log,
    });
    announce(deployment);
    await aborted(stopped.signal);
    await deployment.close();
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (stopped.signal.aborted) {
      process.stderr.write(`${error instanceof SppError ? error.message : 'Stopped before it was ready.'}\n`);
      return 130;
    }
    const known = error instanceof SppError ? error : undefined;
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`error: ${[message, known?.hint].filter(Boolean).join(' ')}\n`);
    return known?.exitCode ?? 1;
  } finally {
    for (const signal of STOP_SIGNALS) process.off(signal, stop);
  }
}

function announce({ credentials, model, requestFile, credentialsFile }: Deployment): void {
  const { url, clientKey } = credentials;
  const line = (budget: string) =>
    `curl -si ${url}/v2/models/${model}/infer -H 'Authorization: Bearer ${clientKey}' -H 'Content-Type: application/json' -H 'X-Latency-Budget: ${budget}' -d '@${requestFile}'`;
  process.stdout.write(
    `ready ${url}\n\n${line('5ms')}\n${line('50ms')}\n\nconsole ${url}/console (its token: operatorToken in ${credentialsFile})\n`,
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
    throw new InvalidArgumentError('A port is a number from 1 to 65535.');
  return port;
}
