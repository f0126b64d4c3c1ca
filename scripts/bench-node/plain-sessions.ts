/** A process with one ordinary onnxruntime session of a model on each thread, as servers of one model have: node plain-sessions.ts MODEL ARTIFACT WORKERS. */
import { setTimeout as sleep } from 'node:timers/promises';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import type { RawAnswer, RawRound, RawThreadData } from './raw-thread.ts';
import { threads } from './threads.ts';

const [model = '', artifact = '', workers = '1'] = process.argv.slice(2);
const { manifest } = await openArtifact(artifact);
const bare = await threads<RawRound, RawAnswer>('raw-thread.ts', Number(workers), {
  model,
  outputs: manifest.outputs.map(({ name }) => name),
} satisfies RawThreadData);
const { feeds } = zeroInputs(manifest.inputs);
await Promise.all(bare.ask.map((ask) => ask({ feeds, ms: 1 })));
process.stdout.write('ready\n');
await sleep(600_000);
