/**
 * What is counted of each decision, as plain numbers that are found without making text of labels: a request pays for additions, and
 * whoever asks for the counts for the rest.
 */
import type { DecisionRecord } from '../inference/decision-record.ts';
import { boundedLabels, OTHER } from './bounded-labels.ts';
import type { Times } from './times-histogram.ts';

/** What of a decision is counted. */
export type Counted = Pick<DecisionRecord, 'model' | 'kind' | 'fits' | 'outcome'> & {
  readonly rules: Pick<DecisionRecord['rules'], 'slaClass' | 'budgetMs'>;
};

/** Requests of a class that were alike. */
export interface Requests {
  readonly model: string;
  readonly decision: string;
  readonly level: string | number;
  readonly status: number;
  count: number;
}

export interface ClassTally {
  readonly slaClass: string;
  readonly took: Times;
  readonly requests: Requests[];
  kept: number;
  missed: number;
  refused: number;
  costNanoUsd: number;
}

export interface DecisionTally {
  count(record: Counted): void;
  classes(): Iterable<ClassTally>;
  retries(): number;
  hedges(): number;
}

export interface TallyTimes {
  /** From receipt to answer: a new series for each class. */
  readonly took: (slaClass: string) => Times;
  readonly parts: Readonly<Record<'select' | 'queue' | 'execute' | 'network', Times>>;
}

/** Answers that cost a latency budget its attainment; other refusals are the client's to mend. */
const lost: ReadonlySet<number> = new Set([422, 429, 502, 503, 504]);

/** @param limit of classes, and of sets of model, class, level and status; beyond it they are counted as `other` */
export function decisionTally(limit: number, { took, parts }: TallyTimes): DecisionTally {
  const classes = new Map<string, ClassTally>();
  const boundedClass = boundedLabels(limit);
  const bounded = boundedLabels(limit);
  let [retries, hedges] = [0, 0];

  const classOf = (name: string): ClassTally => {
    const known = classes.get(name);
    if (known !== undefined) return known;
    const [slaClass = OTHER] = boundedClass([name]);
    const made = classes.get(slaClass) ?? {
      slaClass,
      took: took(slaClass),
      requests: [],
      kept: 0,
      missed: 0,
      refused: 0,
      costNanoUsd: 0,
    };
    classes.set(slaClass, made);
    return made;
  };

  const requestsOf = (of: ClassTally, model: string, level: string | number, record: Counted): Requests => {
    const decision = decisionOf(record);
    const { status } = record.outcome;
    // They are few: gone through sooner than looked up by a name that has to be made.
    for (const known of of.requests)
      if (known.level === level && known.status === status)
        if (known.decision === decision && known.model === model) return known;
    const [within] = bounded([model, of.slaClass, String(level), String(status)]);
    if (within !== model) return requestsOf(of, OTHER, OTHER, record);
    const made = { model, decision, level, status, count: 0 };
    of.requests.push(made);
    return made;
  };

  return {
    count(record) {
      const { model, rules, outcome } = record;
      const of = classOf(rules.slaClass ?? 'none');
      requestsOf(of, model, outcome.level ?? 'none', record).count++;
      of.took.observe(outcome.totalMs / 1000);
      parts.select.observe(outcome.selectMs / 1000);
      if (outcome.status === 200) {
        if (outcome.totalMs <= rules.budgetMs) of.kept++;
        else of.missed++;
        parts.queue.observe((outcome.queueMs ?? 0) / 1000);
        parts.execute.observe((outcome.executeMs ?? 0) / 1000);
        parts.network.observe((outcome.networkMs ?? 0) / 1000);
      } else if (lost.has(outcome.status)) of.refused++;
      retries += Math.max(0, outcome.attempts.length - 1 - outcome.hedges);
      hedges += outcome.hedges;
      of.costNanoUsd += outcome.costNanoUsd;
    },
    classes: () => classes.values(),
    retries: () => retries,
    hedges: () => hedges,
  };
}

function decisionOf({ kind, fits }: Counted): string {
  if (kind !== 'serve') return kind;
  return fits ? 'fits' : 'does-not-fit';
}
