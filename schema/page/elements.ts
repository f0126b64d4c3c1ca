/** Elements of a page. */
import type { Table } from './table.ts';

export function element<K extends keyof HTMLElementTagNameMap>(tag: K, text = ''): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/** @throws if the page has no such element */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/** Offers these names; the one that was chosen stays so while it is among them, else the first one is. @returns the chosen one */
export function offer(select: HTMLSelectElement, names: readonly string[]): string {
  const before = select.value;
  const there = [...select.options].map(({ value }) => value);
  if (there.join('\n') !== names.join('\n')) {
    select.replaceChildren(...names.map((name) => element('option', name)));
    select.value = names.includes(before) ? before : (names[0] ?? '');
  }
  return select.value;
}

/** Says it where something else stands: what is said again unchanged would be read out again. */
export function tell(id: string, text: string): void {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

/**
 * Changes what differs from what was there, so that focus, selection and a press under way outlast it.
 * @param last of each row, behind its text
 * @returns the rows, without the header
 */
export function fillTable(
  id: string,
  { header, rows }: Table,
  last?: (place: number) => HTMLTableCellElement,
): HTMLTableRowElement[] {
  const table = byId(id) as HTMLTableElement;
  const focused = document.activeElement;
  const head = fillRow(table, 0, 'th', header);
  for (const cell of head.cells) cell.scope = 'col';
  const made = rows.map((cells, place) => fillRow(table, place + 1, 'td', cells, last?.(place)));
  for (const row of [...table.rows].slice(1 + rows.length)) row.remove();
  // An element that moves within the page loses the focus.
  if (focused instanceof HTMLElement && table.contains(focused)) focused.focus({ preventScroll: true });
  return made;
}

function fillRow(
  table: HTMLTableElement,
  place: number,
  tag: 'th' | 'td',
  texts: readonly string[],
  last?: HTMLTableCellElement,
): HTMLTableRowElement {
  const row = table.rows[place] ?? table.appendChild(element('tr'));
  for (const [column, text] of texts.entries()) {
    const cell = row.cells[column];
    if (cell === undefined) row.append(element(tag, text));
    else if (cell.textContent !== text) cell.textContent = text;
  }
  const behind = row.cells[texts.length] ?? null;
  if (last !== undefined && last !== behind) row.insertBefore(last, behind);
  for (const cell of [...row.cells].slice(texts.length + (last === undefined ? 0 : 1))) cell.remove();
  return row;
}

/** A mark and a name that is as dark as any text. */
export function named(name: string, mark: { readonly text?: string; readonly colour?: string }) {
  const [entry, sign] = [element('span'), element('span', mark.text)];
  sign.className = 'mark';
  sign.style.color = mark.colour ?? '';
  sign.setAttribute('aria-hidden', 'true');
  entry.append(sign, name);
  return { entry, sign };
}

/** @returns what gives the value of one of the page's own properties, as `--ink`, as it is now */
export function styleOf(): (property: string) => string {
  const style = getComputedStyle(document.documentElement);
  return (property) => style.getPropertyValue(property).trim();
}

/** Whenever the page's colours change, for the reader's scheme or for paper, which has a width of its own, too. */
export function onColours(changed: () => void): void {
  for (const query of ['(prefers-color-scheme: dark)', 'print'])
    matchMedia(query).addEventListener('change', changed);
}
