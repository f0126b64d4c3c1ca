/** The reasons of a decision as a header value, for a caller who may know them: they name nodes. */
import { SppError } from '../../schema/errors.ts';
import type { DecisionRecord } from '../inference/decision-record.ts';

/** Room that clients and proxies have for one header. */
const MAX_CHARACTERS = 6000;

/**
 * Whether the request asks for reasons.
 * @throws `bad-header`; `forbidden` when the key may not have them
 */
export function wantsReasons(text: string | null, mayExplain: boolean): boolean {
  if (text === null || text.trim() === '0') return false;
  if (text.trim() !== '1')
    throw new SppError('bad-header', 'X-Explain: only 1 and 0 are understood.', {
      hint: 'Send 1 for the reasons of the decision, or leave it out.',
      details: { header: 'x-explain' },
    });
  if (!mayExplain)
    throw new SppError('forbidden', 'This key may not be told the reasons of decisions.', {
      hint: 'Leave X-Explain out, or ask the operator to allow it for the key.',
    });
  return true;
}

/** JSON in ASCII; reasons against candidates are left out from the end where there is no room. */
export function explanationHeader({
  rules,
  kind,
  fits,
  chosen,
  runnerUp,
  tally,
  drops = [],
}: DecisionRecord): string {
  for (let kept = drops.length; ; kept = Math.floor(kept / 2)) {
    const text = ascii({
      kind,
      fits,
      chosen,
      runnerUp,
      tally,
      rules,
      drops: drops.slice(0, kept),
      ...(kept < drops.length ? { dropsLeftOut: drops.length - kept } : {}),
    });
    if (text.length <= MAX_CHARACTERS || kept === 0) return text;
  }
}

function ascii(value: object): string {
  return JSON.stringify(value).replaceAll(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
