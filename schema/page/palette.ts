/** What charts are coloured with: the page's own colours, which differ by its ground. */

export interface Palette {
  readonly raised: string;
  readonly ink: string;
  readonly quiet: string;
  readonly line: string;
  readonly accent: string;
  readonly bad: string;
}

/** @param property value of one of the page's own properties, as `--ink` */
export function paletteOf(property: (name: string) => string): Palette {
  return {
    raised: property('--raised'),
    ink: property('--ink'),
    quiet: property('--quiet'),
    line: property('--line'),
    accent: property('--accent'),
    bad: property('--bad'),
  };
}

/** Of lines beside one in the accent's colour: read on a light and on a dark ground. */
export const OTHER_COLOURS = [
  '#8a94a0',
  '#c27c00',
  '#a07cc5',
  '#2a9d8f',
  '#5b8def',
  '#b08450',
  '#d0719a',
  '#e2643a',
  '#c1485a',
] as const;
