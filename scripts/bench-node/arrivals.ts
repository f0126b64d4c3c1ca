/** When requests arrive: renewal processes of a given burstiness, and the shape of a day. Seeded, so that all see the same. */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Uniform in (0, 1). */
export function uniforms(seed: number): () => number {
  const generator = xoroshiro128plus(seed);
  return () => Math.max(Number.MIN_VALUE, uniformFloat64(generator));
}

/**
 * Arrival times in ms over `seconds`, with gaps from a gamma distribution.
 * @param ratePerS mean rate
 * @param cv2 squared coefficient of variation of the gaps: 1 is Poisson, more comes in bursts
 * @param shape factor on the rate at a share 0..1 of the time; its mean should be 1
 */
export function gammaArrivals(
  seed: number,
  ratePerS: number,
  cv2: number,
  seconds: number,
  shape: (share: number) => number = () => 1,
): number[] {
  const uniform = uniforms(seed);
  const arrivals: number[] = [];
  for (let atS = 0; ; ) {
    atS += gamma(uniform, 1 / cv2) * (cv2 / (ratePerS * shape(atS / seconds)));
    if (atS >= seconds) return arrivals;
    arrivals.push(atS * 1000);
  }
}

/** Two peaks, at noon and in the evening, and a night at a quarter of the mean. */
export function dayShape(share: number): number {
  const peak = (at: number, width: number) => Math.exp(-(((share - at) / width) ** 2));
  return (0.25 + 1.1 * peak(0.5, 0.12) + 1.3 * peak(0.82, 0.08)) / DAY_MEAN;
}

/** The mean of the curve above: widths times the square root of pi. */
const DAY_MEAN = 0.25 + (1.1 * 0.12 + 1.3 * 0.08) * Math.sqrt(Math.PI);

/** Marsaglia and Tsang's method (2000); below shape 1 by their boost. */
function gamma(uniform: () => number, shape: number): number {
  if (shape < 1) return gamma(uniform, shape + 1) * uniform() ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}
