/** The fleet as the isolate that was asked sees it. Pure. */
import type { Table } from '../../schema/page/table.ts';
import type { FleetNode } from './api.ts';

/** Those out of service first: they are looked for, among however many. */
export function byNeed(nodes: readonly FleetNode[]): FleetNode[] {
  return nodes.toSorted((a, b) => Number(a.usable) - Number(b.usable));
}

export function fleetTable(nodes: readonly FleetNode[]): Table {
  return {
    header: ['node', 'class', 'state', 'levels', 'workers', 'waiting', 'running', 'way p50 ms', 'heard'],
    rows: nodes.map(({ name, nodeClass, reason, report, networkMs, reportAgeMs }) => [
      name,
      nodeClass,
      reason ?? 'in service',
      report === null ? '-' : report.models.map(levelsText).join(', '),
      report === null ? '-' : String(report.workers),
      report === null ? '-' : String(report.queueLength),
      report === null ? '-' : String(report.inFlight),
      networkMs === null ? '-' : networkMs.p50Ms.toFixed(1),
      reportAgeMs === null ? 'never' : `${(reportAgeMs / 1000).toFixed(1)} s ago`,
    ]),
  };
}

/** A model, and how many of its levels are in memory. */
function levelsText({ model, levels }: NonNullable<FleetNode['report']>['models'][number]): string {
  return `${model} ${levels.filter(({ resident }) => resident).length}/${levels.length}`;
}
