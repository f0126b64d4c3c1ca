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

/** In the place of what was there. @returns the rows, without the header */
export function fillTable(id: string, { header, rows }: Table): HTMLTableRowElement[] {
  const head = rowOf('th', header);
  for (const cell of head.cells) cell.scope = 'col';
  const made = rows.map((cells) => rowOf('td', cells));
  byId(id).replaceChildren(head, ...made);
  return made;
}

function rowOf(tag: 'th' | 'td', cells: readonly string[]): HTMLTableRowElement {
  const row = element('tr');
  row.append(...cells.map((cell) => element(tag, cell)));
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
