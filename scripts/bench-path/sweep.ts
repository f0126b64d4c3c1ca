/**
 * The search's own settings, judged on training examples that nothing else has seen: no test example decides them. For each setting the
 * levels' loss against the dense model on the held-out examples, as cut and with compensation.
 */
import { buildLevels, holdoutLoss, type LevelModel } from '../../trainer/build/level-stage.ts';
import { noMemory, searchPath } from '../../trainer/build/search-path.ts';
import { compensatedOrder } from '../../trainer/compensation/compensated-order.ts';
import { computeThreads } from '../../trainer/runtime/compute.ts';
import { defaultInclusion, type InclusionOptions, pathOrder } from '../../trainer/search/inclusion.ts';
import { indexUnits, orderByPair } from '../../trainer/search/units.ts';
import { widthsOf } from './methods.ts';
import type { Subject } from './subject.ts';

type Setting = Pick<InclusionOptions, 'stepSize' | 'couplingQuantiles'>;

/** What is tried: relaxation a step, and the quantiles between which the coupling falls. */
const SETTINGS: readonly Setting[] = [0.1, 0.3, 0.5, 1].flatMap((stepSize) =>
  [0.97, 0.99, 0.999].map((first): Setting => ({ stepSize, couplingQuantiles: [first, 0.3] })),
);

export interface Swept {
  readonly setting: Setting;
  readonly isDefault: boolean;
  /** Mean over the pruned levels of the natural logarithm of the loss on held-out training examples. */
  readonly cut: number;
  readonly compensated: number;
}

export async function sweep(subject: Subject): Promise<Swept[]> {
  const { prepared, options, progress } = subject;
  const calibrated = await subject.calibrated('rotated');
  const memory = { ...noMemory, curvature: await subject.curvature('rotated') };
  const swept: Swept[] = [];
  for (const setting of SETTINGS) {
    const state = await searchPath(calibrated, { ...options, inclusion: setting }, progress, memory);
    const flat = pathOrder(state);
    const found = orderByPair(indexUnits(prepared.pairs), flat);
    const widths = widthsOf(subject, flat).slice(0, -1);
    const refitOrder = await compensatedOrder(calibrated.model, calibrated.moments, found);
    const cut = await buildLevels(calibrated, found, widths, { compensate: false }, progress);
    const refitted = await buildLevels(calibrated, refitOrder, widths, { compensate: true }, progress);
    swept.push({
      setting,
      isDefault: JSON.stringify(setting) === JSON.stringify(settingOf(defaultInclusion)),
      cut: await meanLog(cut),
      compensated: await meanLog(refitted),
    });
  }
  return swept;

  async function meanLog(levels: readonly LevelModel[]): Promise<number> {
    let sum = 0;
    for (const { cut } of levels) {
      const { pool, holdoutTeacher } = calibrated;
      sum += Math.log(await holdoutLoss(cut, pool, holdoutTeacher, computeThreads()));
    }
    return sum / levels.length;
  }
}

function settingOf({ stepSize, couplingQuantiles }: InclusionOptions): Setting {
  return { stepSize, couplingQuantiles };
}

/** Rows as people read them, the setting with the least loss after compensation first. */
export function sweptRows(swept: readonly Swept[]): { header: string[]; body: string[][] } {
  return {
    header: ['step', 'quantiles', 'ln loss, as cut', 'ln loss, compensated'],
    body: swept
      .toSorted((a, b) => a.compensated - b.compensated)
      .map(({ setting, isDefault, cut, compensated }) => [
        `${setting.stepSize}${isDefault ? ' (default)' : ''}`,
        setting.couplingQuantiles.join(' to '),
        cut.toFixed(3),
        compensated.toFixed(3),
      ]),
  };
}
