/** What a policy would change, and who changed what before, as tables. Pure. */
import { dateText, percent, short } from '../../schema/page/numbers.ts';
import type { Table } from '../../schema/page/table.ts';
import type { AuditEntry, DryRun, PolicyVersion, Validation } from './api.ts';

type Summary = DryRun['before'];
type Replayed = DryRun['changed'][number]['before'];

/** Member by member, what the document in force has and what this one has. */
export function changesTable({ changes }: Pick<Validation, 'changes'>): Table {
  return {
    header: ['where', 'in force', 'here'],
    rows: changes.map(({ path, from, to }) => [path, valueText(from), valueText(to)]),
  };
}

/** The same requests under the policy in force and under this one. */
export function dryRunTable({ before, after }: Pick<DryRun, 'before' | 'after'>): Table {
  const row = (name: string, of: (summary: Summary) => string) => [name, of(before), of(after)];
  const both = (of: (summary: Summary) => Iterable<string>) => [...new Set([...of(before), ...of(after)])];
  const levels = both(({ levels: byModel }) =>
    Object.entries(byModel).flatMap(([model, shares]) =>
      Object.keys(shares).map((level) => JSON.stringify([model, level])),
    ),
  ).map((text) => JSON.parse(text) as [model: string, level: string]);
  return {
    header: ['', 'in force', 'here'],
    rows: [
      row('served', ({ served }) => percent(served)),
      row('in time, predicted', ({ attainment }) => percent(attainment)),
      row('mean quality', ({ meanQuality }) => (meanQuality === null ? '-' : short(meanQuality))),
      row('mean cost, USD', ({ meanCostNanoUsd }) =>
        meanCostNanoUsd === null ? '-' : short(meanCostNanoUsd / 1e9),
      ),
      ...both(({ refused }) => Object.keys(refused)).map((reason) =>
        row(`refused: ${reason}`, ({ refused }) => percent(refused[reason] ?? 0)),
      ),
      ...levels
        .toSorted(([a, i], [b, j]) => a.localeCompare(b) || Number(i) - Number(j))
        .map(([model, level]) =>
          row(`${model}, level ${level}`, (summary) => percent(summary.levels[model]?.[level] ?? 0)),
        ),
    ],
  };
}

/** Requests that would get another level, cost or outcome. */
export function changedTable({ changed }: Pick<DryRun, 'changed'>): Table {
  return {
    header: ['request', 'at', 'model', 'stands for', 'in force', 'here'],
    rows: changed.map(({ requestId, atMs, model, weight, before, after }) => [
      requestId,
      dateText(atMs),
      model,
      short(weight),
      replayedText(before),
      replayedText(after),
    ]),
  };
}

function replayedText({ outcome, level, node, costNanoUsd }: Replayed): string {
  if (outcome !== 'served') return `refused: ${outcome}`;
  return `level ${level} at ${node}, ${short(costNanoUsd / 1e9)} USD`;
}

/** Newest first. */
export function versionsTable(versions: readonly PolicyVersion[]): Table {
  return {
    header: ['version', 'since', 'by', 'what'],
    rows: versions.map(({ version, createdAtMs, createdBy, rollbackTo }, place) => [
      String(version),
      createdAtMs === null ? 'the beginning' : dateText(createdAtMs),
      createdBy ?? '-',
      [place === 0 ? 'in force' : '', rollbackTo === null ? '' : `again version ${rollbackTo}`]
        .filter(Boolean)
        .join(', '),
    ]),
  };
}

/** Newest first. */
export function auditTable(entries: readonly AuditEntry[]): Table {
  return {
    header: ['at', 'who', 'did', 'to', 'what'],
    rows: entries.map(({ atMs, actor, action, target, detail }) => [
      dateText(atMs),
      actor,
      action,
      target,
      valueText(detail),
    ]),
  };
}

/** Longer values are cut: they stand in the documents themselves. */
const VALUE_CHARACTERS = 200;

function valueText(value: unknown): string {
  if (value === undefined) return '-';
  const text = JSON.stringify(value);
  return text.length > VALUE_CHARACTERS ? `${text.slice(0, VALUE_CHARACTERS)}…` : text;
}
