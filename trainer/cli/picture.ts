/** Pictures of an inspected model: Graphviz' language for other tools, and a page that needs nothing but itself. */
import { instance } from '@viz-js/viz';
import type { PairKind } from '../../schema/manifest.ts';
import { type LinearNode, linearGraph } from '../pairs/linear-graph.ts';
import type { PreparedModel } from '../pairs/pair.ts';

/** Fill by kind: light enough for black text, apart in lightness too. */
const FILL = {
  'query-key': '#bcd4f6',
  'value-projection': '#d9c7ef',
  sequential: '#c9ead3',
  gated: '#a9dcc9',
} as const satisfies Record<PairKind, string>;
const ALONE = '#e4e4e4';

type Inspected = Pick<PreparedModel, 'graph' | 'pairs' | 'leftAlone'>;

/** The linear maps and what flows between them, one box a linear, one colour a kind of pair, grey for what was left alone. */
export function dotPicture(model: Inspected): string {
  const { nodes, edges } = linearGraph(model);
  return [
    'digraph model {',
    // Browsers' letters are wider than those that the layout is computed with.
    '  rankdir=TB; bgcolor="transparent"; margin=0.1;',
    '  node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=11, color="#666666", margin="0.3,0.08"];',
    '  edge [color="#888888", arrowsize=0.6];',
    ...nodes.map((node) => `  ${quoted(node.id)} [${attributesOf(model, node)}];`),
    ...edges.map(([from, to]) => `  ${quoted(from)} -> ${quoted(to)};`),
    '}',
    '',
  ].join('\n');
}

function attributesOf({ pairs }: Inspected, { label, pair, reason }: LinearNode): string {
  const found = pair === undefined ? undefined : pairs[pair];
  if (found) {
    const heads = found.kvHeads === undefined ? found.heads : `${found.heads}/${found.kvHeads}`;
    const width = found.heads > 1 ? `${heads} heads x ${found.units} units` : `${found.units} units`;
    return `label=${quoted(`${label}\n${width}`)}, fillcolor="${FILL[found.kind]}"`;
  }
  if (reason !== undefined)
    return `label=${quoted(`${label}\nleft alone`)}, tooltip=${quoted(reason)}, fillcolor="${ALONE}"`;
  return `label=${quoted(label)}, shape=ellipse, fillcolor="#ffffff"`;
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

/**
 * A self-contained page: the report as it stands on the terminal, and the picture.
 * @param report see inspectionText
 */
export async function htmlPicture(title: string, report: string, model: Inspected): Promise<string> {
  const viz = await instance();
  const svg = viz.renderString(dotPicture(model), { format: 'svg' });
  const legend = Object.entries({ ...FILL, 'left alone': ALONE })
    .map(([kind, colour]) => `<span style="background:${colour}">${kind}</span>`)
    .join('');
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>
  :root { color-scheme: light dark; --text: #1b1b1b; --page: #fff; --block: #f6f6f6; }
  @media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --page: #16181c; --block: #22252b; } }
  body { font: 15px/1.5 system-ui, sans-serif; margin: clamp(1rem, 4vw, 2rem); color: var(--text); background: var(--page); }
  h1 { font-size: clamp(1.2rem, 5vw, 2rem); overflow-wrap: anywhere; }
  pre { font: 13px/1.45 ui-monospace, monospace; background: var(--block); padding: 1rem; overflow-x: auto; }
  .legend { display: flex; flex-wrap: wrap; gap: .4rem; }
  .legend span { padding: .2rem .6rem; border-radius: .3rem; color: #1b1b1b; white-space: nowrap; }
  .picture { overflow-x: auto; }
  .picture svg { max-width: max(100%, 60rem); height: auto; }
</style>
<h1>${escaped(title)}</h1>
<p class="legend">${legend}</p>
<div class="picture">${svg.slice(svg.indexOf('<svg'))}</div>
<pre>${escaped(report)}</pre>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
