/** How lines of each kind of pair are drawn, so that they are told apart without colour, too. */

/** Of lines, drawn and left out in turns, in pixels. */
const DASHES: readonly (readonly number[])[] = [[], [7, 4], [2, 2], [8, 3, 2, 3]];

const dashesOf = (place: number) => DASHES[place % DASHES.length] ?? [];

/** @param place of the kind among those of the path @returns as the chart library takes it */
export function lineTypeOf(place: number): 'solid' | number[] {
  const dashes = dashesOf(place);
  return dashes.length === 0 ? 'solid' : [...dashes];
}

/** @returns a piece of such a line, as the background of a legend's mark */
export function strokeOf(place: number, colour: string): string {
  const dashes = dashesOf(place);
  if (dashes.length === 0) return colour;
  let end = 0;
  const stops = dashes.map((length, i) => {
    const from = end;
    end += length;
    return `${i % 2 === 0 ? colour : 'transparent'} ${from}px ${end}px`;
  });
  return `repeating-linear-gradient(90deg, ${stops.join(', ')})`;
}
