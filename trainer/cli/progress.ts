/** Shows progress on stderr: a bar with ETA on a terminal, one JSON line at most every second elsewhere. */
import { Presets, SingleBar } from 'cli-progress';
import type { Progress, StageProgress } from '../build/progress.ts';

/** Hold it with `using`: a bar that work leaves behind when it fails must be stopped, or it keeps the process alive. */
export type DisposableProgress = Progress & Disposable;

export function terminalProgress(stream: NodeJS.WriteStream = process.stderr): DisposableProgress {
  if (stream.isTTY) return barProgress(stream);
  return { ...lineProgress((line) => stream.write(`${line}\n`)), [Symbol.dispose]: () => {} };
}

function barProgress(stream: NodeJS.WriteStream): DisposableProgress {
  let open: SingleBar | undefined;
  return {
    [Symbol.dispose]: () => open?.stop(),
    note: (message) => {
      if (!open) stream.write(`${message}\n`);
    },
    stage(name, total) {
      const bar = new SingleBar(
        {
          stream,
          format: ` ${name.padEnd(10)} {bar} {percentage}% | {value}/{total} | eta {eta_formatted} {values}`,
          hideCursor: true,
          fps: 5,
        },
        Presets.shades_grey,
      );
      bar.start(total, 0, { values: '' });
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
    stage(name, total): StageProgress {
      const started = now();
      let last = Number.NEGATIVE_INFINITY;
      const emit = (
        done: number,
        values: Readonly<Record<string, number>> | undefined,
        finished: boolean,
      ) => {
        const at = now();
        if (!finished && at - last < 1000) return;
        last = at;
        const elapsedS = (at - started) / 1000;
        const etaS = done > 0 ? (elapsedS / done) * (total - done) : null;
        const round = (value: number) => Number(value.toFixed(2));
        write(
          JSON.stringify({
            stage: name,
            done,
            total,
            share: round(total === 0 ? 1 : done / total),
            elapsedS: round(elapsedS),
            etaS: etaS === null ? null : round(etaS),
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

function shown(values: Readonly<Record<string, number>> | undefined): string {
  return Object.entries(values ?? {})
    .map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`)
    .join(' ');
}
