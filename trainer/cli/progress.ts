/** Shows progress on stderr: a bar with ETA on a terminal, one JSON line at most every second elsewhere. */
import { Presets, SingleBar } from 'cli-progress';
import type { Progress, StageProgress } from '../build/progress.ts';

/** Hold it with `using`: a bar that work leaves behind when it fails must be stopped, or it keeps the process alive. */
export type DisposableProgress = Progress & Disposable;

/** A bar has a line to itself, which does not wrap; when it stops, it goes back to where it was begun, which is then below what was said. */
const OVER_BAR = '\r\u001b[K\u001b[?7h';
const BELOW = '\u001b[?7l\u001b7';

/** A bar on a terminal; elsewhere JSON, a line at most every second. */
export function terminalProgress(stream: NodeJS.WriteStream = process.stderr): DisposableProgress {
  if (stream.isTTY) return barProgress(stream);
  return { ...lineProgress((line) => stream.write(`${line}\n`)), [Symbol.dispose]: () => {} };
}

function barProgress(stream: NodeJS.WriteStream): DisposableProgress {
  let open: SingleBar | undefined;
  return {
    [Symbol.dispose]: () => open?.stop(),
    // In the place of an open bar, which comes again below it.
    note: (message) => stream.write(open ? `${OVER_BAR}${message}\n${BELOW}` : `${message}\n`),
    stage(name, total, before = 0) {
      const bar = new SingleBar(
        {
          stream,
          format: ` ${name.padEnd(10)} {bar} {percentage}% | {value}/{total} | eta {eta_formatted} {values}`,
          hideCursor: true,
          fps: 5,
        },
        Presets.shades_grey,
      );
      bar.start(total, before, { values: '' });
      open = bar;
      return {
        update: (done, values) => bar.update(done, { values: shown(values) }),
        finish: (values) => {
          bar.update(total, { values: shown(values) });
          bar.stop();
          open = undefined;
        },
      };
    },
  };
}

/** @param write gets one JSON document a line: stage, done, total, share, elapsedS, etaS, and the stage's own values */
export function lineProgress(
  write: (line: string) => void,
  now: () => number = () => performance.now(),
): Progress {
  return {
    note: (message) => write(JSON.stringify({ note: message })),
    stage(name, total, before = 0): StageProgress {
      const started = now();
      const remaining = remainingTime(total, { done: before, at: started });
      let last = Number.NEGATIVE_INFINITY;
      const emit = (
        done: number,
        values: Readonly<Record<string, number>> | undefined,
        finished: boolean,
      ) => {
        const at = now();
        const etaMs = remaining({ done, at });
        if (!finished && at - last < 1000) return;
        last = at;
        const elapsedS = (at - started) / 1000;
        const round = (value: number) => Number(value.toFixed(2));
        write(
          JSON.stringify({
            stage: name,
            done,
            total,
            share: round(total === 0 ? 1 : done / total),
            elapsedS: round(elapsedS),
            etaS: etaMs === undefined ? null : round(etaMs / 1000),
            ...values,
          }),
        );
      };
      return {
        update: (done, values) => emit(done, values, false),
        finish: (values) => emit(total, values, true),
      };
    },
  };
}

interface Moment {
  readonly done: number;
  /** In ms. */
  readonly at: number;
}

/** Of a stage, what must be done before its first report says how fast it goes: what is begun with takes longer than the rest. */
const LEAST_SHARE = 0.05;

/**
 * From each report of a stage to the time that is left, at the rate since its first report: what comes before that is preparation. Undefined
 * while no rate is known.
 */
function remainingTime(total: number, begun: Moment): (report: Moment) => number | undefined {
  let first: Moment | undefined;
  return ({ done, at }) => {
    if (done >= total) return 0;
    first ??= { done, at };
    const since = done > first.done ? first : begun;
    const gained = done - since.done;
    return gained > 0 && (since === first || gained >= LEAST_SHARE * total)
      ? ((at - since.at) / gained) * (total - done)
      : undefined;
  };
}

function shown(values: Readonly<Record<string, number>> | undefined): string {
  return Object.entries(values ?? {})
    .map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`)
    .join(' ');
}
