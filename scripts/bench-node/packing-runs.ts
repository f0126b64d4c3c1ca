/**
 * Runs of one model whose weights lie in a file, packed and as they lie: node packing-runs.ts MODEL INPUTS RUNS, INPUTS being JSON
 * [{name, type, dims}]. Prints JSON. A process of its own, as glibc reads its settings when one starts.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sessionOptions } from '../../infra/node/execution/session-options.ts';
import { median } from '../local/statistics.ts';

export interface PackingRuns {
  readonly kind: 'packed' | 'as it lies, memory kept' | 'as it lies';
  /** Medians of a run's processor time, of the system's part of it, and of page faults. */
  readonly cpuMs: number;
  readonly systemMs: number;
  readonly faults: number;
}

const [model = '', inputs = '[]', runs = '5'] = process.argv.slice(2);
const kinds: readonly [PackingRuns['kind'], InferenceSession.SessionOptions][] = [
  ['packed', sessionOptions('cpu')],
  ['as it lies, memory kept', sessionOptions('cpu', { packed: false })],
  ['as it lies', sessionOptions('cpu', { packed: false, keepsScratch: false })],
];
const sessions = await Promise.all(
  kinds.map(async ([kind, options]) => ({
    kind,
    session: await InferenceSession.create(model, options),
    samples: [] as Omit<PackingRuns, 'kind'>[],
  })),
);
const given = JSON.parse(inputs) as { name: string; type: Tensor.Type; dims: number[] }[];
const feeds = Object.fromEntries(
  given.map(({ name, type, dims }) => {
    const count = dims.reduce((product, dim) => product * dim, 1);
    return [name, new Tensor(type, new Float32Array(count), dims)];
  }),
);
// By turns, so that all meet with whatever else goes on; the first warms up.
for (let run = -1; run < Number(runs); run++)
  for (const { session, samples } of sessions) {
    const before = process.cpuUsage();
    const { minorPageFault } = process.resourceUsage();
    await session.run(feeds);
    const { user, system } = process.cpuUsage(before);
    const faults = process.resourceUsage().minorPageFault - minorPageFault;
    if (run >= 0) samples.push({ cpuMs: (user + system) / 1000, systemMs: system / 1000, faults });
  }
const of = (samples: readonly Omit<PackingRuns, 'kind'>[], what: 'cpuMs' | 'systemMs' | 'faults') =>
  median(samples.map((sample) => sample[what]));
const measured = sessions.map(
  ({ kind, samples }): PackingRuns => ({
    kind,
    cpuMs: of(samples, 'cpuMs'),
    systemMs: of(samples, 'systemMs'),
    faults: of(samples, 'faults'),
  }),
);
process.stdout.write(JSON.stringify(measured));
process.exit(0);
