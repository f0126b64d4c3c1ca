/** `trainer doctor`: what this machine offers, what would be used, and what would be faster. */
import { fileURLToPath } from 'node:url';
import { Argument, Command } from 'commander';
import { z } from 'zod';
import { adviceFor, type Findings } from '../doctor/advice.ts';
import { lookAtMachine, type Machine } from '../doctor/machine.ts';
import { measureBackend } from '../doctor/measure.ts';
import { stepFor } from '../doctor/probe-step.ts';
import { type BackendName, backendNames, candidateBackends, isInstalled } from '../engine/backend-names.ts';
import { layoutText } from '../engine/lane-layout.ts';
import { readOnnxFile } from '../graph/onnx-load.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { flagValue, numberOf } from './flag-values.ts';
import { terminalProgress } from './progress.ts';
import { textTable } from './table.ts';

const BUNDLED = fileURLToPath(new URL('../../examples/digits/digits.onnx', import.meta.url));
/** Plain JavaScript: a reference for the others, never an answer to "what is fast". */
const NOT_MEASURED: readonly BackendName[] = ['cpu'];
const MIB = 2 ** 20;

interface Flags {
  readonly seconds: string;
  readonly json: boolean;
}

export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'Say what this machine offers, time a step of the search on each backend that is installed, and say what to install to go faster.',
    )
    .addArgument(
      new Argument('[model]', 'an ONNX file to measure on').default(BUNDLED, 'the bundled digits model'),
    )
    .option('--seconds <n>', 'time for each backend', '10')
    .option('--json', 'print JSON', false)
    .action(async (model: string, flags: Flags) => {
      const seconds = flagValue(secondsSchema, ['seconds', flags.seconds, numberOf(flags.seconds)], 'doctor');
      // What no backend could be timed on is one error, not one for each of them.
      await stepFor(await preparePairs(readOnnxFile(model), model));
      const machine = await lookAtMachine();
      const installed = backendNames.filter(isInstalled);
      const tried = installed.filter((name) => !NOT_MEASURED.includes(name));
      using progress = terminalProgress();
      const stage = progress.stage('measure', tried.length);
      const measured = [];
      for (const backend of tried) {
        measured.push(await measureBackend(backend, model, seconds));
        stage.update(measured.length);
      }
      stage.finish();
      const automatic = automaticOf(measured);
      const findings: Findings = { machine, installed, automatic, measured };
      const advice = adviceFor(findings);
      process.stdout.write(
        flags.json
          ? `${JSON.stringify({ machine, installed, automatic, measured, advice })}\n`
          : `${machineText(machine)}\n\n${measuredText(findings)}\n\n${adviceText(advice)}\n`,
      );
    });
}

const secondsSchema = z.number().gt(0).max(600);

/** The first in order that works: one that is installed but does not start is passed over. */
function automaticOf(measured: Findings['measured']): BackendName {
  const failed = new Set(
    measured.flatMap(({ backend, failure }) => (failure === undefined ? [] : [backend])),
  );
  return candidateBackends('auto').find((name) => !failed.has(name)) ?? 'cpu';
}

function machineText({ processor, cores, memoryBytes, freeBytes, cudaDevices, vulkan }: Machine): string {
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  const devices = [
    ...cudaDevices.map((name) => `CUDA: ${name}`),
    ...vulkan.renderNodes.map((name) => `Vulkan: ${name}`),
    ...vulkan.drivers.map((path) => `Vulkan driver: ${path}`),
  ];
  return [
    `${processor}, ${cores} core${cores === 1 ? '' : 's'} for this process, ${gib(freeBytes)} of ${gib(memoryBytes)} GiB free`,
    devices.length === 0 ? 'no GPU found' : devices.join('\n'),
  ].join('\n');
}

function measuredText({ installed, automatic, measured }: Findings): string {
  const rows = backendNames.map((name) => {
    const found = measured.find(({ backend }) => backend === name);
    const m = found?.measurement;
    const state = m ? 'works' : found ? 'fails' : installed.includes(name) ? 'not measured' : 'not installed';
    return [
      name === automatic ? `${name} (auto)` : name,
      state,
      m ? m.stepMs.toFixed(1) : '-',
      m ? `${m.workers} x ${m.threads}` : '-',
      m ? (m.peakBytes / MIB).toFixed(0) : '-',
    ];
  });
  const table = textTable(['backend', 'state', 'step ms', 'workers x threads', 'peak MiB'], rows);
  return [table, ...layoutLines(measured)].join('\n');
}

function layoutLines(measured: Findings['measured']): string[] {
  return measured.flatMap(({ backend, measurement }) => {
    const { layouts = [], workers, threads } = measurement ?? {};
    if (layouts.length < 2) return [];
    const figures = layouts.map(({ layout, stepMs }) => `${layoutText(layout)} ${stepMs.toFixed(1)} ms`);
    const taken = layouts.find(({ layout }) => layout.workers === workers && layout.threads === threads);
    const end = taken ? `: ${layoutText(taken.layout)} is taken` : '';
    return [`${backend}, a step with ${figures.join(', ')}${end}`];
  });
}

function adviceText(advice: readonly string[]): string {
  return advice.length === 0 ? 'nothing to do: auto is the fastest that is here' : advice.join('\n');
}
