/**
 * What packing saves of a level's run, as measured: node pack-gain.ts MODEL INPUTS, INPUTS being JSON [{name, type, dims}]. Prints
 * the share, 0.05 for a twentieth. A process of its own, for the reason that packing is one (`pack-level.ts`).
 */
import { setPriority } from 'node:os';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { ortTensor } from '../execution/ort-tensor.ts';
import { sessionOptions } from '../execution/session-options.ts';

/** Runs of each kind. The least processor time counts: whatever else goes on can only add to it. */
const FEWEST_RUNS = 6;
const MOST_RUNS = 40;
const ENOUGH_MS = 1000;

// Requests go first.
setPriority(10);
const [model = '', inputs = '[]'] = process.argv.slice(2);
const asItLies = await InferenceSession.create(
  model,
  sessionOptions('cpu', { packed: false, keepsScratch: false, blocksConvolutions: false }),
);
const packed = await InferenceSession.create(model, sessionOptions('cpu'));
const feeds = Object.fromEntries(
  (JSON.parse(inputs) as { name: string; type: Tensor.Type; dims: number[] }[]).map(
    ({ name, type, dims }) => [name, zeros(type, dims)],
  ),
);
const leastUs = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
const begunMs = performance.now();
// The first ones warm up.
for (let run = -1; run < MOST_RUNS; run++) {
  if (run >= FEWEST_RUNS && performance.now() - begunMs > ENOUGH_MS) break;
  for (const [i, session] of [asItLies, packed].entries()) {
    const before = process.cpuUsage();
    await session.run(feeds);
    const { user, system } = process.cpuUsage(before);
    if (run >= 0) leastUs[i] = Math.min(leastUs[i] ?? 0, user + system);
  }
}
process.stdout.write(String(1 - (leastUs[1] ?? 0) / (leastUs[0] ?? 1)));
process.exit(0);

function zeros(type: Tensor.Type, dims: number[]): Tensor {
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (type === 'bool') return ortTensor(type, new Uint8Array(count), dims);
  if (type === 'float16') return ortTensor(type, new Uint16Array(count), dims);
  const like = new Tensor(type, [], [0]);
  const Elements = like.data.constructor as new (length: number) => Float32Array;
  return ortTensor(type, new Elements(count), dims);
}
