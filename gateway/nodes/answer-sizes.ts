/** How large the answers to requests of a kind were lately: what comes back takes its time on the way, too. */
import { type DecayingMean, decayingMean } from './decaying-mean.ts';

/** What answers of one size go by, mostly. */
export interface AnswerKind {
  readonly model: string;
  /** Of the artifact. */
  readonly version: string;
  readonly batch: number;
  /** Of sequences, as nodes put them together; 0 where there is none. */
  readonly length: number;
}

export interface AnswerSizes {
  record(kind: AnswerKind, bytes: number, nowMs: number): void;
  /** In bytes; 0 while none has come. */
  expected(kind: AnswerKind): number;
}

const HALF_LIFE_MS = 15_000;
/** Clients choose batch sizes: the kind first seen longest ago goes. */
const KINDS = 256;

export function answerSizes(): AnswerSizes {
  const kinds = new Map<string, DecayingMean>();
  return {
    record(kind, bytes, nowMs) {
      const key = keyOf(kind);
      let sizes = kinds.get(key);
      if (sizes === undefined) {
        sizes = decayingMean(HALF_LIFE_MS);
        kinds.set(key, sizes);
        const oldest = kinds.keys().next().value;
        if (kinds.size > KINDS && oldest !== undefined) kinds.delete(oldest);
      }
      sizes.record(bytes, nowMs);
    },
    expected: (kind) => kinds.get(keyOf(kind))?.mean() ?? 0,
  };
}

function keyOf({ model, version, batch, length }: AnswerKind): string {
  return `${model}/${version}/${batch}/${length}`;
}
