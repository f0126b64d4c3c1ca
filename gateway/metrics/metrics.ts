/**
 * What the gateway counts for Prometheus. Each isolate counts for itself and says which one it is: a scrape reaches one of
 * them. Labels come from operators' documents and a fixed table of problems, and their number is bounded.
 */
import type { ProblemCode } from '../../schema/errors.ts';
import type { DecisionRecord } from '../inference/decision-record.ts';
import type { NodeView } from '../nodes/view.ts';
import { type DecisionTally, decisionTally } from './decision-tally.ts';
import { Counter, Gauge, type Metric, Registry } from './prom-client.ts';
import { TimesHistogram } from './times-histogram.ts';

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
const BREAKER = { closed: 0, 'half-open': 1, open: 2 } as const;

export function gatewayMetrics(isolate: string, fleet: FleetGauges): GatewayMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ isolate });
  const registers = [registry];
  const histogram = (name: string, help: string) => {
    const times = new TimesHistogram(`spp_gateway_${name}`, help, SECONDS);
    // The library's types know no metrics but its own; its registry asks them for their values alone.
    registry.registerMetric(times as unknown as Metric);
    return times;
  };
  const took = histogram('request_seconds', 'From receipt to answer, by class.');
  const parts = histogram('part_seconds', 'Of answered requests: select, queue, execute, network.');
  const tally = decisionTally(SERIES, {
    took: (slaClass) => took.of({ class: slaClass }),
    parts: {
      select: parts.of({ part: 'select' }),
      queue: parts.of({ part: 'queue' }),
      execute: parts.of({ part: 'execute' }),
      network: parts.of({ part: 'network' }),
    },
  });
  decisionCounters(registers, tally);
  fleetGauges(registers, fleet);
  const refusals = new Counter({
    name: 'spp_gateway_refusals_total',
    help: 'Requests of clients answered with a problem, by its code.',
    labelNames: ['code'],
    registers,
  });
  return {
    decided: (record) => tally.count(record),
    refused: (code) => refusals.inc({ code }),
    async expose() {
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}

/** Read off the tally when Prometheus asks. */
function decisionCounters(registers: Registry[], { classes, retries, hedges }: DecisionTally): void {
  const counter = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    read: (counter: Counter<L>) => void,
  ) =>
    new Counter<L>({
      name: `spp_gateway_${name}`,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        read(this);
      },
    });
  counter(
    'requests_total',
    'Inference requests that came to a decision, by what came of them.',
    ['model', 'class', 'decision', 'level', 'status'],
    (counted) => {
      for (const { slaClass, requests } of classes())
        for (const { count, model, decision, level, status } of requests)
          counted.inc({ model, class: slaClass, decision, level, status }, count);
    },
  );
  counter(
    'deadlines_total',
    'The same by their latency budget: kept, missed (answered late) or refused. Attainment is kept over all.',
    ['class', 'outcome'],
    (counted) => {
      for (const { slaClass, kept, missed, refused } of classes())
        for (const [outcome, count] of Object.entries({ kept, missed, refused }))
          if (count > 0) counted.inc({ class: slaClass, outcome }, count);
    },
  );
  counter('cost_usd_total', 'US dollars charged.', ['class'], (counted) => {
    for (const { slaClass, costNanoUsd } of classes())
      if (costNanoUsd > 0) counted.inc({ class: slaClass }, costNanoUsd / 1e9);
  });
  counter('retries_total', 'Second tries, on another node.', [], (counted) => counted.inc(retries()));
  counter('hedges_total', 'Second nodes asked because the first was slow.', [], (counted) =>
    counted.inc(hedges()),
  );
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
