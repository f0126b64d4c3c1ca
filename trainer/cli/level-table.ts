/** The levels of an artifact as people read them. */
import type { Manifest } from '../../schema/manifest.ts';
import { textTable } from './table.ts';

/** A title with the metric and its examples, and a row a level, sparsest first. */
export function levelTable(manifest: Manifest): string {
  const further = Object.keys(manifest.levels[0]?.quality.details ?? {});
  const rows = manifest.levels.map((level) => {
    const latency = level.latency.find((profile) => profile.batch === 1);
    const { value, low, high, details = {} } = level.quality;
    return [
      String(level.level),
      percent(level.relativeFlops),
      percent(level.relativeParams),
      `${(level.bytes / 1024).toFixed(0)} KiB`,
      `${value.toFixed(4)} [${low.toFixed(4)}, ${high.toFixed(4)}]`,
      ...further.map((name) => details[name]?.value.toFixed(4) ?? '-'),
      latency === undefined ? '-' : latency.p50Ms.toFixed(2),
      latency === undefined ? '-' : latency.p95Ms.toFixed(2),
    ];
  });
  const metric = manifest.levels[0]?.quality.metric ?? 'quality';
  const samples = manifest.levels[0]?.quality.samples ?? 0;
  const title = `${manifest.model.id} ${manifest.model.version}: ${metric} on ${samples} test examples, 95 % interval; latency at batch 1`;
  return `${title}\n${textTable(['level', 'FLOPs', 'params', 'weights', metric, ...further, 'p50 ms', 'p95 ms'], rows)}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
