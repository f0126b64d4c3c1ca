/** What the report's charts are coloured with. */
import { type Palette, paletteOf } from '../../../schema/page/palette.ts';
import type { ShownPair } from '../page-content.ts';

export interface ReportPalette extends Palette {
  /** Of the lines of each kind of pair. */
  readonly kinds: Readonly<Record<ShownPair['kind'], string>>;
}

/** @param property value of one of the page's own properties, as `--ink` */
export function reportPaletteOf(property: (name: string) => string): ReportPalette {
  return {
    ...paletteOf(property),
    kinds: {
      'query-key': property('--query-key'),
      'value-projection': property('--value-projection'),
      sequential: property('--sequential'),
      gated: property('--gated'),
    },
  };
}
