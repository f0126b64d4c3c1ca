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
  /** Gone through sooner than looked up by a name that has to be made. */
  const kinds: Known[] = [];
  const known = ({ model, version, batch, length }: AnswerKind): Known | undefined => {
    for (const kind of kinds)
      if (kind.batch === batch && kind.length === length)
        if (kind.model === model && kind.version === version) return kind;
    return undefined;
  };
  return {
    record(kind, bytes, nowMs) {
      let recorded = known(kind);
      if (recorded === undefined) {
        const { model, version, batch, length } = kind;
        recorded = { model, version, batch, length, sizes: decayingMean(HALF_LIFE_MS) };
        kinds.push(recorded);
        if (kinds.length > KINDS) kinds.shift();
      }
      recorded.sizes.record(bytes, nowMs);
    },
    expected: (kind) => known(kind)?.sizes.mean() ?? 0,
  };
}

interface Known extends AnswerKind {
  readonly sizes: DecayingMean;
}
