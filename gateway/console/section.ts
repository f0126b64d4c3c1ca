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

export function palette(): Palette {
  return paletteOf(styleOf());
}
