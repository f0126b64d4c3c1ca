/** Command line of the inference node. */
import { Command, CommanderError, Option } from 'commander';
import { SppError } from '../../schema/errors.ts';
import { endProcess } from './end-process.ts';
import { authModes, executionProviders, logLevels, type NodeOptions } from './options.ts';
import { type RunningNode, startNode } from './server.ts';

const program = new Command('npm run -s serve --')
  .description('Serves every level of a path artifact over the Open Inference Protocol.')
  .requiredOption(
    '--artifact <location>',
    'directory, URL of a version, or URL of a model (.../v1/artifacts/<model>) whose active version is followed',
  )
  .option(
    '--host <host>',
    'address to listen on; any but a loopback address needs NODE_TOKEN (default 127.0.0.1)',
  )
  .option('--port <port>', 'port to listen on, 0 for a free one (default 8788)')
  .option('--name <name>', 'how the node calls itself (default: host name)')
  .option('--workers <n>', 'threads that run the model (default: one a core, one alone on a GPU)')
  .addOption(
    new Option('--ep <provider>', 'onnxruntime execution provider (default cpu)').choices(executionProviders),
  )
  .option('--max-body-bytes <n>', 'largest request body (default 8388608)')
  .option('--max-bodies-mb <n>', 'for bodies of all requests in flight (default an eighth of the memory)')
  .option('--request-timeout-ms <ms>', 'that a sender may take for a whole request (default 60000)')
  .option('--queue-limit <n>', 'requests that may wait for a worker (default 256)')
  .option('--max-batch <n>', 'most rows of requests that share a run, 1 for none (default 8)')
  .option(
    '--linger-ms <ms>',
    'that one idle thread stays awake for the next request, 0 to save its power (default 2)',
  )
  .option(
    '--memory-budget-mb <n>',
    'for levels in memory, least recently used goes first (default half of the memory)',
  )
  .option(
    '--cache-dir <directory>',
    "for weights and measured times (default: beside the artifact's directory, else the user's cache)",
  )
  .addOption(
    new Option(
      '--auth <mode>',
      'what callers need (default: none on a loopback host whose gateway is here, too, else token)',
    ).choices(authModes),
  )
  .option('--gateway <url>', 'gateway that the node registers with; needs REGISTRATION_TOKEN')
  .option('--heartbeat-ms <ms>', 'between reports to that gateway (default 2000)')
  .option('--drain-ms <ms>', 'time for accepted requests to finish on SIGTERM (default 10000)')
  .option('--poll-ms <ms>', 'between looks for a newer active version (default 5000)')
  .addOption(new Option('--log-level <level>', 'log on stderr (default info)').choices(logLevels))
  .addHelpText(
    'after',
    `
Environment:
  NODE_TOKEN            bearer token: shown to the gateway, and asked of callers under --auth token
  REGISTRATION_TOKEN    the node's own, from POST /v1/nodes at the gateway; goes with --gateway
  NVIDIA_TF32_OVERRIDE  with --ep cuda: 1 computes faster, with three digits

Example:
  npm run -s serve -- --artifact .data/artifacts/digits
  curl -s http://127.0.0.1:8788/v2/models/digits`,
  )
  .exitOverride()
  .configureOutput({ outputError: () => {} })
  .action(run);

await program.parseAsync().catch(fail);

async function run(flags: Record<string, string>): Promise<void> {
  const token = process.env.NODE_TOKEN;
  const registrationToken = process.env.REGISTRATION_TOKEN;
  let node: RunningNode | undefined;
  // From here on: the first process of a container is not ended by a signal that it does not handle.
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      process.once(signal, () => endProcess(1));
      if (node === undefined) endProcess(0);
      node.close().then(() => endProcess(0), fail);
    });
  node = await startNode({
    ...flags,
    ...(token ? { token } : {}),
    ...(registrationToken ? { registrationToken } : {}),
  } as unknown as NodeOptions);
  try {
    await node.ready;
  } catch (error) {
    if (error instanceof SppError && error.code === 'interrupted') return;
    await node.close();
    throw error;
  }
  const [model] = node.report().models;
  // Who waited for the line may be gone, or the file that takes it be on a full disk: that ends no service.
  process.stdout.on('error', () => {});
  process.stdout.write(`ready ${node.url} ${model?.model}@${model?.artifactVersion}\n`);
}

function fail(error: unknown): never {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) process.exit(0);
    // Commander writes "error: ..." and, below it, what may have been meant.
    const message = error.message
      .replace(/^error: /, '')
      .replace(/\s*\n\s*/g, ' ')
      .replace(/\.$/, '');
    process.stderr.write(`${message}. See --help.\n`);
    process.exit(2);
  }
  const known = error instanceof SppError ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(
    `${known ? [message, known.hint].filter(Boolean).join(' ') : `Unexpected failure: ${message}`}\n`,
  );
  endProcess(known?.exitCode ?? 1);
}
