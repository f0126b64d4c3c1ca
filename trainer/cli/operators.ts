/** What `trainer inspect --ops` prints. */
import type { OperatorUse } from '../graph/operator-survey.ts';
import { textTable } from './table.ts';

/** The machine-readable form, fixed so that scripts can rely on it. */
export function operators(uses: readonly OperatorUse[]) {
  return {
    operators: uses.map(({ opType, domain, opset, nodes, state }) => ({
      opType,
      domain,
      opset,
      nodes: nodes.length,
      state,
    })),
    missing: uses.flatMap(({ opType, domain, opset, nodes, state, reason }) =>
      state === 'missing' ? [{ opType, domain, opset, reason, nodes }] : [],
    ),
  };
}

/** The same for people. */
export function operatorsText(uses: readonly OperatorUse[]): string {
  const called = ({ opType, domain }: OperatorUse) => (domain === '' ? opType : `${domain}.${opType}`);
  const rows = uses.map((use) => [called(use), String(use.opset), String(use.nodes.length), use.state]);
  const missing = uses.filter(({ state }) => state === 'missing');
  const lines = missing.map(
    (use) => `  ${called(use)} (opset ${use.opset}): ${use.reason}; at ${shortList(use.nodes)}`,
  );
  return [
    textTable(['operator', 'opset', 'nodes', 'state'], rows),
    '',
    ...(missing.length === 0 ? ['All of them can be run.'] : [`Missing: ${missing.length}`, ...lines]),
  ].join('\n');
}

function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
