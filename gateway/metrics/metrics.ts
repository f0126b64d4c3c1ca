/**
 * What the gateway counts for Prometheus. Each isolate counts for itself and says which one it is: a scrape reaches one of
 * them. Labels come from operators' documents and a fixed table of problems, and their number is bounded.
 */
import type { ProblemCode } from '../../schema/errors.ts';
import type { DecisionRecord } from '../inference/decision-record.ts';
import type { NodeView } from '../nodes/view.ts';
import { boundedLabels } from './bounded-labels.ts';
import { Counter, Gauge, Histogram, Registry } from './prom-client.ts';

export interface GatewayMetrics {
  /** An inference that came to a decision, when it is over. */
  decided(record: DecisionRecord): void;
  /** A client's request that was answered with a problem. */
  refused(code: ProblemCode): void;
  /** The text that Prometheus reads, and its content type. */
  expose(): Promise<{ readonly text: string; readonly contentType: string }>;
}

/** Read off the fleet when Prometheus asks. */
export interface FleetGauges {
  view(): readonly NodeView[];
  pressure(): number;
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Series of one metric beyond which label values become `other`. */
const SERIES = 500;
/** Decisions are counted so many at a time, which costs a fraction of counting each between two requests. */
const TOGETHER = 64;
const BREAKER = { closed: 0, 'half-open': 1, open: 2 } as const;

/** Answers that cost a latency budget its attainment; other refusals are the client's to mend. */
const lost: ReadonlySet<number> = new Set([422, 429, 502, 503, 504]);

export function gatewayMetrics(isolate: string, fleet: FleetGauges): GatewayMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ isolate });
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name: `spp_gateway_${name}`, help, labelNames, registers });
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Histogram<L>({ name: `spp_gateway_${name}`, help, labelNames, buckets: SECONDS, registers });

  const requests = counter(
    'requests_total',
    'Inference requests that came to a decision, by what came of them.',
    ['model', 'class', 'decision', 'level', 'status'],
  );
  const deadlines = counter(
    'deadlines_total',
    'The same by their latency budget: kept, missed (answered late) or refused. Attainment is kept over all.',
    ['class', 'outcome'],
  );
  const refusals = counter('refusals_total', 'Requests of clients answered with a problem, by its code.', [
    'code',
  ]);
  const retries = counter('retries_total', 'Second tries, on another node.', []);
  const hedges = counter('hedges_total', 'Second nodes asked because the first was slow.', []);
  const cost = counter('cost_usd_total', 'US dollars charged.', ['class']);
  const took = histogram('request_seconds', 'From receipt to answer, by class.', ['class']);
  const parts = histogram('part_seconds', 'Of answered requests: select, queue, execute, network.', ['part']);
  fleetGauges(registers, fleet);
  const bounded = boundedLabels(SERIES);
  const boundedClass = boundedLabels(SERIES);

  const count = ({ model, rules, kind, fits, outcome }: DecisionRecord) => {
    const [slaClass = ''] = boundedClass([rules.slaClass ?? 'none']);
    const status = String(outcome.status);
    const [modelLabel = '', , level = ''] = bounded([
      model,
      slaClass,
      outcome.level === null ? 'none' : String(outcome.level),
      status,
    ]);
    const decision = kind !== 'serve' ? kind : fits ? 'fits' : 'does-not-fit';
    requests.inc({ model: modelLabel, class: slaClass, decision, level, status });
    const seconds = outcome.totalMs / 1000;
    took.observe({ class: slaClass }, seconds);
    parts.observe({ part: 'select' }, outcome.selectMs / 1000);
    if (outcome.status === 200) {
      const inTime = outcome.totalMs <= rules.budgetMs;
      deadlines.inc({ class: slaClass, outcome: inTime ? 'kept' : 'missed' });
      parts.observe({ part: 'queue' }, (outcome.queueMs ?? 0) / 1000);
      parts.observe({ part: 'execute' }, (outcome.executeMs ?? 0) / 1000);
      parts.observe({ part: 'network' }, (outcome.networkMs ?? 0) / 1000);
    } else if (lost.has(outcome.status)) deadlines.inc({ class: slaClass, outcome: 'refused' });
    const again = Math.max(0, outcome.attempts.length - 1 - outcome.hedges);
    if (again > 0) retries.inc(again);
    if (outcome.hedges > 0) hedges.inc(outcome.hedges);
    if (outcome.costNanoUsd > 0) cost.inc({ class: slaClass }, outcome.costNanoUsd / 1e9);
  };
  const waiting: DecisionRecord[] = [];
  const countWaiting = () => {
    for (const record of waiting) count(record);
    waiting.length = 0;
  };

  return {
    decided(record) {
      waiting.push(record);
      if (waiting.length >= TOGETHER) countWaiting();
    },
    refused: (code) => refusals.inc({ code }),
    async expose() {
      countWaiting();
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}

function fleetGauges(registers: Registry[], { view, pressure }: FleetGauges): void {
  const perNode = (name: string, help: string, of: (node: NodeView) => number | undefined) =>
    new Gauge({
      name: `spp_gateway_node_${name}`,
      help,
      labelNames: ['node'],
      registers,
      collect() {
        // Nodes that are gone are not told of any more.
        this.reset();
        for (const node of view().slice(0, SERIES)) {
          const value = of(node);
          if (value !== undefined) this.set({ node: node.name }, value);
        }
      },
    });
  perNode('usable', '1 for a node that requests may be sent to.', ({ usable }) => Number(usable));
  perNode('breaker', '0 closed, 1 half-open, 2 open.', ({ breaker }) => BREAKER[breaker]);
  perNode('in_flight', 'Requests that this isolate has sent there.', (node) => node.inFlightHere);
  perNode('report_age_seconds', 'Since its last report.', ({ reportAgeMs }) =>
    reportAgeMs === null ? undefined : reportAgeMs / 1000,
  );
  new Gauge({
    name: 'spp_gateway_fleet_pressure',
    help: 'Work in requests for each worker of the usable nodes.',
    registers,
    collect() {
      this.set(pressure());
    },
  });
}
