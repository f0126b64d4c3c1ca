/** What the node counts for Prometheus: what waits, what runs, at which levels, in which batches, and whose deadline was kept. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ProblemCode } from '../../schema/errors.ts';
import type { CollectionKind } from './collections.ts';

/** One inference request that was run. Times in ms. */
export interface Ran {
  readonly level: number;
  /** The level asked for. */
  readonly asked: number;
  /** Rows of all requests that shared the run. */
  readonly runRows: number;
  /** Whether this request stands for its run: shared runs are counted once. */
  readonly leads: boolean;
  readonly queueMs: number;
  readonly executeMs: number;
  /** What was left of its budget when the answer was ready; undefined where it had none. */
  readonly leftMs: number | undefined;
  /** Whether somebody still waited for the answer. */
  readonly heard: boolean;
}

export interface NodeMetrics {
  /** To be called for all that are run; those that nobody waits for any more are refused with `client-gone` besides. */
  ran(request: Ran): void;
  /**
   * @param code of the problem; `client-gone` when nobody waited for the answer any more
   * @param hadDeadline whether the request stated a latency budget
   */
  refused(code: ProblemCode | 'client-gone', hadDeadline: boolean): void;
  /** A collection of garbage on the main thread. */
  collected(kind: CollectionKind, seconds: number): void;
  /** The text that Prometheus reads, and its content type. */
  expose(): Promise<{ readonly text: string; readonly contentType: string }>;
}

/** What is read off the node when Prometheus asks. */
export interface NodeGauges {
  readonly queueLength: number;
  readonly inFlight: number;
  readonly ready: boolean;
  readonly residentLevels: number;
  /** What the levels in memory take of the budget. */
  readonly levelBytes: number;
}

/** Runs take from tens of microseconds to seconds. */
const SECONDS = [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const ROWS = [1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128];

/** Refusals that cost a deadline: the client's own mistakes never had a chance to keep it. */
const deadlineLost: ReadonlySet<ProblemCode | 'client-gone'> = new Set([
  'budget-infeasible',
  'budget-overrun',
  'deadline-hopeless',
  'queue-full',
  'level-unavailable',
  'backend-unavailable',
  'draining',
  'not-ready',
  'internal',
]);

export function nodeMetrics(gauges: () => NodeGauges): NodeMetrics {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, read: (now: NodeGauges) => number) =>
    new Gauge({
      name: `spp_node_${name}`,
      help,
      registers,
      collect() {
        this.set(read(gauges()));
      },
    });
  gauge('queue_length', 'Requests that wait for a worker.', (now) => now.queueLength);
  gauge('in_flight', 'Requests that a worker runs.', (now) => now.inFlight);
  gauge('ready', '1 while the node takes inference requests.', (now) => Number(now.ready));
  gauge('resident_levels', 'Levels in memory.', (now) => now.residentLevels);
  gauge('level_bytes', 'What the levels in memory take of the budget.', (now) => now.levelBytes);
  gauge('resident_memory_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss());
  gauge(
    'heap_used_bytes',
    "JavaScript heap in use on the node's main thread.",
    () => process.memoryUsage().heapUsed,
  );
  const requests = new Counter({
    name: 'spp_node_requests_total',
    help: 'Inference requests answered, by the level that ran and the level asked for.',
    labelNames: ['level', 'asked'],
    registers,
  });
  const refusals = new Counter({
    name: 'spp_node_refusals_total',
    help: 'Inference requests refused or failed, by the code of the problem.',
    labelNames: ['code'],
    registers,
  });
  const deadlines = new Counter({
    name: 'spp_node_deadlines_total',
    help: 'Requests with a latency budget: kept, missed (answered late) or refused. Attainment is kept over all.',
    labelNames: ['outcome'],
    registers,
  });
  // A series that begins at its first count hides that count from rates.
  for (const outcome of ['kept', 'missed', 'refused']) deadlines.inc({ outcome }, 0);
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name: `spp_node_${name}`, help, labelNames: ['level'], buckets, registers });
  const queued = histogram('queue_seconds', 'From the arrival in the queue to a worker, by level.', SECONDS);
  const executed = histogram('execute_seconds', 'Runs, as they are seen by who waits, by level.', SECONDS);
  const batches = histogram('batch_rows', 'Rows of a run, by level.', ROWS);

  const collections = new Histogram({
    name: 'spp_node_gc_seconds',
    help: 'Collections of garbage on the main thread: major of all of the heap, start where one begins ahead, minor of what is new.',
    labelNames: ['kind'],
    buckets: SECONDS,
    registers,
  });
  for (const kind of ['major', 'minor', 'start']) collections.zero({ kind });

  return {
    ran({ level, asked, runRows, leads, queueMs, executeMs, leftMs, heard }) {
      const labels = { level: String(level) };
      if (heard) requests.inc({ ...labels, asked: String(asked) });
      queued.observe(labels, queueMs / 1000);
      if (leads) {
        executed.observe(labels, executeMs / 1000);
        batches.observe(labels, runRows);
      }
      if (leftMs === undefined) return;
      // Who leaves at the deadline has missed it; who leaves before has neither kept nor missed it.
      if (leftMs < 0) deadlines.inc({ outcome: 'missed' });
      else if (heard) deadlines.inc({ outcome: 'kept' });
    },
    refused(code, hadDeadline) {
      refusals.inc({ code });
      if (hadDeadline && deadlineLost.has(code)) deadlines.inc({ outcome: 'refused' });
    },
    collected: (kind, seconds) => collections.observe({ kind }, seconds),
    expose: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  };
}
