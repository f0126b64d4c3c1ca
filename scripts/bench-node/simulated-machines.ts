/** What `simulate` tells of one machine and its budgets, over sixteen kinds of them and several seeds: a rule that helps one may harm another. */
import { mean, rounded } from '../local/statistics.ts';
import { type SimulatedOptions, simulatedBursts, USUAL_MACHINE } from './simulated-report.ts';

const USUAL_BUDGETS = [5, 10, 20];
const SLOW = { denseMs: 6.5 };
const TIGHT = { budgets: [3, 6, 12] };
const ROOMY = { budgets: [12, 24, 48] };

const MACHINES: Readonly<Record<string, Partial<SimulatedOptions>>> = {
  'budgets of 5, 10, 20 rows': {},
  'budgets of 3, 6, 12': TIGHT,
  'the same, runs vary twice': { ...TIGHT, noise: 1 },
  'budgets of 12, 24, 48': ROOMY,
  'the same, stalls': { ...ROOMY, stalls: 0.1 },
  'one thread': { workers: 1 },
  'less than the dense level holds': { load: 0.9 },
  'slow spells': { spells: 1, budgets: [6, 12, 24] },
  'half as fast for seconds': { ...TIGHT, slowness: 2, load: 0.8 },
  stalls: { stalls: 0.2 },
  'a fifth of a core taken': { others: 0.2 },
  'three fifths taken': { others: 0.6, budgets: [8, 16, 32] },
  'slow, runs vary twice': { ...SLOW, noise: 1 },
  'slow, spells': { ...SLOW, spells: 1 },
  'slow, a third taken': { ...SLOW, noise: 1, others: 0.3 },
  'a tenth taken, runs vary twice': { noise: 1, others: 0.1, budgets: [6, 12, 24] },
};
/** Between seeds: loads are told apart by theirs, too. */
const APART = 10;
/** In time. */
const AIM = 0.999;

export interface MachinesOptions {
  readonly seconds: number;
  readonly seeds: number;
  /** Machines that are done, of how many. */
  progress(done: number, all: number): void;
}

export function simulatedMachines({ seconds, seeds, progress }: MachinesOptions) {
  const all = Object.entries(MACHINES);
  const machines = all.map(([machine, options], i) => {
    const loads = Array.from({ length: seeds }, (_, n) =>
      simulatedBursts({ ...USUAL_MACHINE, budgets: USUAL_BUDGETS, ...options, seconds, seed: n * APART }),
    ).flat();
    progress(i + 1, all.length);
    const held = loads.filter(({ sparsest }) => (sparsest?.attainment ?? 0) >= AIM);
    return {
      machine,
      attainment: rounded(mean(loads.map(({ ours }) => ours.attainment)), 4),
      sparsest: rounded(mean(loads.map(({ sparsest }) => sparsest?.attainment ?? 0)), 4),
      meanQuality: rounded(mean(loads.map(({ ours }) => ours.meanQuality)), 4),
      loads: loads.length,
      /** That the sparsest level holds, and of those that ours does. */
      held: held.length,
      kept: held.filter(({ ours }) => ours.attainment >= AIM).length,
      better: loads.filter(({ ours, best }) => best === undefined || ours.meanQuality > best.meanQuality)
        .length,
    };
  });
  return { seconds, seeds, machines };
}

export function machinesReport({ machines }: ReturnType<typeof simulatedMachines>): string {
  const total = (of: (one: (typeof machines)[number]) => number) =>
    machines.reduce((sum, one) => sum + of(one), 0);
  const line = (machine: string, ...rest: readonly string[]) => [machine.padEnd(32), ...rest].join('  ');
  const counts = (a: number, b: number) => `${a} of ${b}`.padEnd(10);
  return [
    line('machine, budgets', 'in time  sparsest  quality  0.999 kept  quality above the best static level'),
    ...machines.map((one) =>
      line(
        one.machine,
        `${one.attainment.toFixed(4)}   ${one.sparsest.toFixed(4)}    ${one.meanQuality.toFixed(4)}`,
        counts(one.kept, one.held),
        counts(one.better, one.loads),
      ),
    ),
    line(
      'all',
      `${mean(machines.map((one) => one.attainment)).toFixed(4)}   ${mean(machines.map((one) => one.sparsest)).toFixed(4)}    ${mean(machines.map((one) => one.meanQuality)).toFixed(4)}`,
      counts(
        total((one) => one.kept),
        total((one) => one.held),
      ),
      counts(
        total((one) => one.better),
        total((one) => one.loads),
      ),
    ),
    '',
  ].join('\n');
}
