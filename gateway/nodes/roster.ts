/** Who is in the fleet: nodes of the setting, and registered ones that have been heard of, followed in the database. */
import type { NodeRow } from '../../schema/db/tables.ts';
import type { Background, Cell } from '../state/cell.ts';
import type { Fleet } from './fleet.ts';
import type { NodeAddress } from './node-address.ts';

export type RegisteredNode = Pick<
  NodeRow,
  'name' | 'url' | 'nodeClass' | 'draining' | 'heardAtMs' | 'report'
>;

export interface Roster {
  /** Sees to it that the fleet is who is registered, and knows what each last told; reads at most now and then. */
  follow(background: Background): void | Promise<void>;
  /** Reads anew, after a change made here. */
  reload(): Promise<void>;
}

/** One that has been silent for so much longer than another is left out until it is heard of again. */
const SILENT_MS = 60_000;
/** Found so by so many reads: where the clock is set ahead, who is heard of first makes all others look silent for one or two. */
const SILENT_READS = 3;

export interface RosterOptions {
  /** Of the setting: always in the fleet, and never replaced by a registration of the same name. */
  readonly listed: readonly NodeAddress[];
  readonly registered: Cell<readonly RegisteredNode[]>;
  readonly fleet: Pick<Fleet, 'setNodes' | 'heard'>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** A time since the epoch, by the fleet's clock. */
  readonly at: (epochMs: number) => number;
}

export function roster({ listed, registered, fleet, now, at }: RosterOptions): Roster {
  let applied: readonly RegisteredNode[] | undefined;
  /** By name, for how many reads in a row. */
  let silent = new Map<string, number>();
  let members = JSON.stringify(listed);

  const apply = (rows: readonly RegisteredNode[]) => {
    if (rows === applied) return;
    applied = rows;
    silent = new Map(
      // One that nothing was read of before has no credit.
      silence(rows, now()).map(([name, isSilent]) => [
        name,
        isSilent ? (silent.get(name) ?? SILENT_READS) + 1 : 0,
      ]),
    );
    const addresses = [...listed, ...heardOf(rows, listed, silent)];
    const next = JSON.stringify(addresses);
    if (next !== members) fleet.setNodes(addresses);
    members = next;
    for (const { name, report, heardAtMs } of rows) {
      if (report !== null && heardAtMs !== null) fleet.heard(name, report, at(heardAtMs));
    }
  };

  return {
    follow(background) {
      const rows = registered.get(background);
      if (rows instanceof Promise) return rows.then(apply);
      apply(rows);
    },
    async reload() {
      apply(await registered.reload());
    },
  };
}

/**
 * Silence is measured against the others': when nobody is heard of, it is the gateway that does not hear, and each isolate
 * asks the nodes itself anyway. Nobody was heard of later than now: that was by a clock that was ahead.
 * @returns of each that was ever heard of, whether it is silent
 */
function silence(rows: readonly RegisteredNode[], nowMs: number): [name: string, isSilent: boolean][] {
  const heard = rows.flatMap(({ name, heardAtMs }) => (heardAtMs === null ? [] : [{ name, heardAtMs }]));
  const newestMs = Math.max(...heard.map(({ heardAtMs }) => Math.min(heardAtMs, nowMs)));
  return heard.map(({ name, heardAtMs }) => [name, heardAtMs < newestMs - SILENT_MS]);
}

/** @param silent in how many reads in a row each was; of those that were ever heard of */
function heardOf(
  rows: readonly RegisteredNode[],
  listed: readonly NodeAddress[],
  silent: ReadonlyMap<string, number>,
): readonly NodeAddress[] {
  const taken = new Set(listed.map(({ name }) => name));
  return rows
    .filter(({ name }) => !taken.has(name) && (silent.get(name) ?? SILENT_READS) < SILENT_READS)
    .map(({ name, url, nodeClass, draining }) => ({ name, url, nodeClass, draining }));
}
