import { describe, expect, test } from 'vitest';
import { type NodeGauges, nodeMetrics } from './metrics.ts';

const gauges: NodeGauges = { queueLength: 3, inFlight: 2, ready: true, residentLevels: 4, levelBytes: 4096 };

/** The value of one series, by name and labels as Prometheus writes them. */
async function seriesValue(
  metrics: ReturnType<typeof nodeMetrics>,
  series: string,
): Promise<number | undefined> {
  const { text } = await metrics.expose();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

describe('the metrics', () => {
  test('read gauges at the time they are asked for', async () => {
    let now = gauges;
    const metrics = nodeMetrics(() => now);
    expect(await seriesValue(metrics, 'spp_node_queue_length')).toBe(3);
    now = { ...gauges, queueLength: 7, ready: false };
    expect(await seriesValue(metrics, 'spp_node_queue_length')).toBe(7);
    expect(await seriesValue(metrics, 'spp_node_ready')).toBe(0);
    expect(await seriesValue(metrics, 'spp_node_level_bytes')).toBe(4096);
  });

  test('count requests by level that ran and level asked for, and a shared run once', async () => {
    const metrics = nodeMetrics(() => gauges);
    const run = { level: 1, asked: 2, runRows: 5, queueMs: 2, executeMs: 4, leftMs: undefined, heard: true };
    metrics.ran({ ...run, leads: true });
    metrics.ran({ ...run, leads: false });
    metrics.ran({ ...run, leads: false, heard: false });
    expect(await seriesValue(metrics, 'spp_node_requests_total{level="1",asked="2"}')).toBe(2);
    expect(await seriesValue(metrics, 'spp_node_execute_seconds_count{level="1"}')).toBe(1);
    expect(await seriesValue(metrics, 'spp_node_execute_seconds_sum{level="1"}')).toBeCloseTo(0.004, 9);
    expect(await seriesValue(metrics, 'spp_node_batch_rows_bucket{le="4",level="1"}')).toBe(0);
    expect(await seriesValue(metrics, 'spp_node_batch_rows_bucket{le="6",level="1"}')).toBe(1);
    expect(await seriesValue(metrics, 'spp_node_queue_seconds_count{level="1"}')).toBe(3);
  });

  test('tell kept deadlines from missed and refused ones, and leave out what never had a chance', async () => {
    const metrics = nodeMetrics(() => gauges);
    const outcome = (name: string) => seriesValue(metrics, `spp_node_deadlines_total{outcome="${name}"}`);
    // From the start, so that rates see the first one of each.
    for (const name of ['kept', 'missed', 'refused']) expect(await outcome(name)).toBe(0);
    const run = { level: 0, asked: 0, runRows: 1, leads: true, queueMs: 0, executeMs: 1, heard: true };
    metrics.ran({ ...run, leftMs: 0.5 });
    metrics.ran({ ...run, leftMs: -0.5 });
    metrics.ran({ ...run, leftMs: undefined });
    metrics.ran({ ...run, leftMs: 0.5, heard: false });
    metrics.ran({ ...run, leftMs: -0.5, heard: false });
    metrics.refused('deadline-hopeless', true);
    metrics.refused('queue-full', false);
    metrics.refused('bad-shape', true);
    metrics.refused('client-gone', true);
    expect(await outcome('kept')).toBe(1);
    expect(await outcome('missed')).toBe(2);
    expect(await outcome('refused')).toBe(1);
    expect(await seriesValue(metrics, 'spp_node_refusals_total{code="client-gone"}')).toBe(1);
  });
});
