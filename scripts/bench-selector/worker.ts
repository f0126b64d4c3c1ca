/** Runs in workerd: decides for a made-up fleet, and says how long that took. */
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { fleet } from '../../gateway/nodes/fleet.ts';
import type { Outcome } from '../../gateway/nodes/outcome.ts';
import type { TableSpec } from '../../gateway/nodes/table-cache.ts';
import { type CandidateTable, candidateTable } from '../../gateway/selector/candidate-table.ts';
import { free, type LevelOption, type NodeOption } from '../../gateway/selector/candidates.ts';
import type { Rules } from '../../gateway/selector/rules.ts';
import { select } from '../../gateway/selector/select.ts';
import type { SelectionRequest } from '../../gateway/selector/selection-request.ts';
import type { NodeReport } from '../../schema/node-report.ts';
import { median } from '../local/statistics.ts';

export interface SelectorBench {
  readonly nodes: number;
  readonly levels: number;
  readonly inputs: number;
  readonly repeats: number;
  /** Through all inputs: of each the median of these counts, as a machine is slow for a while now and then. */
  readonly rounds: number;
}

/** Microseconds. */
export interface SelectorTimes {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const SEED = 20_260_101;
/** Of bodies, in bytes: each node has learned how long the way takes for each. */
const SIZES = [1000, 20_000, 100_000, 600_000];
const OBJECTIVES: readonly Rules['objective'][] = [
  { kind: 'quality-first' },
  { kind: 'cost-first' },
  { kind: 'weighted', nanoUsdPerQuality: 100_000 },
];

export default {
  async fetch(request: Request): Promise<Response> {
    const bench = (await request.json()) as SelectorBench;
    const random = randomOf(SEED);
    const levels = levelsOf(bench.levels);
    const scenes = Array.from({ length: bench.inputs }, () => scene(bench, levels, random));
    const asks = scenes.map(({ request: asked }) => asked);
    const { all, spec } = await busyFleet(bench, levels, random);
    let turn = 0;
    const decisions: Record<string, (input: number) => unknown> = {
      select: (input) => {
        const { table, request: asked } = scenes[input] as (typeof scenes)[number];
        return select(table, asked);
      },
      'fleet state brought up to date, then select': (input) =>
        select(all.table(spec), { ...(asks[input] as SelectionRequest), pressure: all.pressure() }),
      'the same, each request of another size': (input) => {
        const hopBytes = SIZES[turn++ % SIZES.length] ?? 0;
        const table = all.table({ ...spec, hopBytes });
        return select(table, { ...(asks[input] as SelectionRequest), pressure: all.pressure() });
      },
    };
    const times: Record<string, SelectorTimes> = {};
    for (const [name, decide] of Object.entries(decisions)) {
      const round = () => scenes.map((_, input) => perCall(bench.repeats, () => decide(input)));
      round();
      const rounds = Array.from({ length: bench.rounds }, round);
      times[name] = quantiles(scenes.map((_, input) => median(rounds.map((us) => us[input] as number))));
    }
    return Response.json(times);
  },
};

function perCall(repeats: number, call: () => unknown): number {
  const startedMs = Date.now();
  for (let i = 0; i < repeats; i++) call();
  return ((Date.now() - startedMs) * 1000) / repeats;
}

function quantiles(samples: readonly number[]): SelectorTimes {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

function levelsOf(count: number): LevelOption[] {
  return Array.from({ length: count }, (_, level) => ({
    level,
    quality: 0.7 + (0.3 * (level + 1)) / count,
    sparsity: 1 - (level + 1) / count,
    flops: level + 1,
  }));
}

/** A fleet in some state and a request of some kind: from no level fitting to all of them. */
function scene({ nodes }: SelectorBench, levels: readonly LevelOption[], random: () => number) {
  const table: CandidateTable = candidateTable({
    levels,
    nodes: Array.from({ length: nodes }, (_, i): NodeOption => nodeOption(`n${i}`, levels, random)),
    quantile: 0.95,
    batch: 1,
    hopBytes: 4000,
    priceOf: (nodeClass, level) => ({
      fixedNanoUsd: (level + 1) * (nodeClass === 'gpu' ? 300 : 100),
      perMsNanoUsd: 50,
      perKiBNanoUsd: 10,
    }),
  });
  const budgetMs = 2 ** (10 * random());
  const objective = OBJECTIVES[Math.floor(random() * OBJECTIVES.length)] ?? { kind: 'quality-first' };
  const request: SelectionRequest = {
    rules: { ...rules, budgetMs, objective, infeasible: random() < 0.5 ? 'refuse' : 'serve-sparsest' },
    budgetLeftMs: budgetMs,
    costBudgetNanoUsd: random() < 0.5 ? undefined : Math.floor(10_000 * random()),
    minQuality: 0,
    pressure: random() < 0.5 ? 0 : 3 * random(),
    bytes: 4000,
    draws: [random(), random()],
  };
  return { table, request };
}

const rules: Rules = {
  slaClass: null,
  tier: null,
  budgetMs: 0,
  minBudgetMs: 0,
  costBudgetNanoUsd: null,
  quantile: 0.95,
  reserveMs: 0.5,
  minSparsity: 0,
  maxSparsity: 1,
  minQuality: 0,
  objective: { kind: 'quality-first' },
  infeasible: 'refuse',
  shedAbove: Number.POSITIVE_INFINITY,
  overload: 'refuse',
  hedgeShare: 0,
};

function nodeOption(name: string, levels: readonly LevelOption[], random: () => number): NodeOption {
  const speed = 0.5 + 2 * random();
  return {
    name,
    nodeClass: random() < 0.3 ? 'gpu' : 'cpu',
    unusable: random() < 0.05 ? 'down' : undefined,
    network: [{ bytes: 0, p50Ms: 1, p95Ms: 2 + 5 * random(), p99Ms: 10 }],
    workers: 4,
    load: Math.floor(12 * random()),
    serviceMs: 10 * speed,
    times: new Map(
      levels.map(({ level }) => {
        const p50Ms = speed * (1 + level) * (0.9 + 0.2 * random());
        return [level, [{ batch: 1, p50Ms, p95Ms: 1.4 * p50Ms, p99Ms: 2 * p50Ms }]];
      }),
    ),
  };
}

/** A fleet as an isolate holds it, with requests under way everywhere. */
async function busyFleet({ nodes }: SelectorBench, levels: readonly LevelOption[], random: () => number) {
  const names = Array.from({ length: nodes }, (_, i) => `n${i}`);
  const speeds = new Map(names.map((name) => [name, 0.5 + 2 * random()]));
  // Its clock stands still: reports that grow too old leave a fleet of which nothing is chosen.
  const nowMs = Date.now();
  const all = fleet({
    nodes: names.map((name) => ({ name, url: `http://${name}`, nodeClass: 'cpu', draining: false })),
    now: () => nowMs,
    fetchReport: async ({ name }) => reportOf(name, speeds.get(name) ?? 1, levels),
  });
  const work: Promise<unknown>[] = [];
  const background = { waitUntil: (promise: Promise<unknown>) => void work.push(promise) };
  await all.refresh(background);
  await Promise.all(work);
  for (const name of names) for (let i = 0; i < 6 * random(); i++) all.begin(name, background);
  for (const name of names)
    for (const requestBytes of SIZES)
      for (let i = 0; i < 10; i++) all.begin(name, background)(answered(requestBytes));
  const spec: TableSpec = {
    model: 'm',
    version: { version: 'v1', levels },
    quantile: 0.95,
    batch: 1,
    length: 0,
    hopBytes: 4000,
    priceOf: free,
    policyVersion: 1,
  };
  return { all, spec };
}

function answered(requestBytes: number): Outcome {
  const sample = { model: 'm', version: 'v1', level: 0, batch: 1, length: 0, queueMs: 0, expectedQueueMs: 0 };
  const networkMs = 1 + requestBytes / 50_000;
  return {
    kind: 'answered',
    sample: { ...sample, networkMs, streamed: false, requestBytes, answerBytes: 0, executeMs: 1 },
  };
}

function reportOf(node: string, speed: number, levels: readonly LevelOption[]): NodeReport {
  return {
    node,
    state: 'ready',
    reportedAtMs: 0,
    workers: 4,
    queueLength: 0,
    inFlight: 0,
    models: [
      {
        model: 'm',
        artifactVersion: 'v1',
        levels: levels.map(({ level }) => {
          const p50Ms = speed * (1 + level);
          const profile = { device: 'cpu', threads: 1, batch: 1, samples: 100 };
          return {
            level,
            resident: true,
            profiles: [{ ...profile, p50Ms, p95Ms: 1.4 * p50Ms, p99Ms: 2 * p50Ms }],
          };
        }),
      },
    ],
  };
}

function randomOf(seed: number): () => number {
  const generator = xoroshiro128plus(seed);
  return () => (generator.next() >>> 0) / 2 ** 32;
}
