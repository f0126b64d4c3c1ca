/** What a node in simulated time tells of itself. */
import type { NodeReport } from '../../schema/node-report.ts';
import type { SimulatedMachine } from './machine.ts';
import type { SimulatedLevel } from './run.ts';
import type { Machine } from './trace.ts';

export function reportOf(
  { name, workers, slowness }: Machine,
  levels: readonly SimulatedLevel[],
  { running, waiting }: SimulatedMachine,
): NodeReport {
  const profile = { device: 'cpu', threads: 1, batch: 1, samples: 100 };
  return {
    node: name,
    state: 'ready',
    reportedAtMs: 0,
    workers,
    queueLength: waiting,
    inFlight: running,
    models: [
      {
        model: 'm',
        artifactVersion: 'v1',
        levels: levels.map(({ level, executeMs }) => {
          const p50Ms = executeMs * slowness;
          return {
            level,
            resident: true,
            profiles: [{ ...profile, p50Ms, p95Ms: 1.28 * p50Ms, p99Ms: 1.42 * p50Ms }],
          };
        }),
      },
    ],
  };
}
