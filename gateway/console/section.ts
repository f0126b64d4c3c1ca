/** What parts of the console have alike. */
import { styleOf } from '../../schema/page/elements.ts';
import { type Palette, paletteOf } from '../../schema/page/palette.ts';

/** A part of the page that is read anew every so often. */
export interface Section {
  /** Reads and shows it. @throws `Refused`; what was shown before stays */
  refresh(): Promise<void>;
  /** Shows the same in the page's colours and size as they are now. */
  redraw(): void;
}

/**
 * Holds buttons while their work is done. They stay where the focus is, which disabled ones would lose.
 * @returns false where one of them was held already, and nothing is to be done
 */
export function hold(buttons: readonly HTMLButtonElement[], held: boolean): boolean {
  if (held && buttons.some((button) => button.getAttribute('aria-disabled') === 'true')) return false;
  for (const button of buttons) button.setAttribute('aria-disabled', String(held));
  return true;
}

export function palette(): Palette {
  return paletteOf(styleOf());
}
