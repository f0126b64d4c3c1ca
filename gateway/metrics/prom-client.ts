/**
 * The parts of prom-client that run in any runtime; its index takes in what only Node has. Of Node they want `util`, for
 * the text of errors alone: bundles put `value-text.ts` in its place.
 */
/// <reference path="./prom-client-files.d.ts" />
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Registry from 'prom-client/lib/registry.js';

export type { Metric } from 'prom-client';
export { Counter, Gauge, Registry };
