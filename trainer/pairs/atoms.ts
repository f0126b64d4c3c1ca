/**
 * Dimension atoms: what the axes of all tensors are made of. An axis is a sequence of atoms, outermost first, whose sizes
 * multiply to its length; a reshape groups the same atoms otherwise, and an axis of length 1 has none.
 *
 *   [B, 192] --Reshape--> [B, 3, 64]     192 is refined into (3 x 64), everywhere it occurs
 *
 * Sizes are vectors, one entry a trace, so that lengths that coincide at one size are told apart by another.
 * Atoms only ever become more equal and finer, so that axes noted earlier stay true.
 */

export type Atom = number;
export type Axis = readonly Atom[];
export type Size = readonly number[];

interface Entry {
  readonly size: Size;
  /** Union-find link; itself for a root. */
  parent: Atom;
  /** Set once the atom is refined. */
  children?: Axis;
  /** Why nothing may be cut here; the first reason found. */
  reason?: string;
}

export class Atoms {
  readonly #entries: Entry[] = [];

  /** A new axis of one atom of this size, or of none where it is 1. */
  axis(size: Size, reason?: string): Axis {
    return isOne(size) ? [] : [this.#fresh(size, reason)];
  }

  /** The axis in its finest known atoms, equal ones the same number. */
  leaves(axis: Axis): Atom[] {
    return axis.flatMap((atom) => {
      const root = this.#root(atom);
      const { children } = this.#entry(root);
      return children ? this.leaves(children) : [root];
    });
  }

  size(atom: Atom): Size {
    return this.#entry(this.#root(atom)).size;
  }

  /** Product over an axis. */
  length(axis: Axis): Size {
    return this.leaves(axis).reduce<Size>(
      (product, atom) => this.size(atom).map((size, i) => size * (product[i] ?? 1)),
      this.#entries[0]?.size.map(() => 1) ?? [],
    );
  }

  /** Why this atom may not be cut, where it may not. */
  reason(atom: Atom): string | undefined {
    return this.#entry(this.#root(atom)).reason;
  }

  pin(axis: Axis, reason: string): void {
    for (const leaf of this.leaves(axis)) this.#entry(leaf).reason ??= reason;
  }

  /** Says that two axes are the same, element for element. Where their atoms do not nest, both are pinned. */
  unify(a: Axis, b: Axis): void {
    let left = this.leaves(a);
    let right = this.leaves(b);
    while (left.length > 0 && right.length > 0) {
      const [x = 0] = left;
      const [y = 0] = right;
      const [m, n] = [this.size(x), this.size(y)];
      if (isOne(ratio(m, n))) {
        this.#union(x, y);
        left = this.leaves(left.slice(1));
        right = this.leaves(right.slice(1));
      } else if (isWhole(ratio(m, n))) {
        this.#refine(x, [n, ratio(m, n)]);
        left = this.leaves(left);
      } else if (isWhole(ratio(n, m))) {
        this.#refine(y, [m, ratio(n, m)]);
        right = this.leaves(right);
      } else break;
    }
    this.pin([...left, ...right], 'is grouped in two ways that do not nest');
  }

  /**
   * The first atoms of a flattened sequence that make up an axis of this length, and the rest.
   * @returns undefined where no boundary can be put there
   */
  takeFirst(sequence: Axis, size: Size): { first: Axis; rest: Axis } | undefined {
    let rest = this.leaves(sequence);
    const first: Atom[] = [];
    let need = size;
    while (!isOne(need)) {
      const [head, ...tail] = rest;
      if (head === undefined) return undefined;
      const has = this.size(head);
      if (isWhole(ratio(need, has))) {
        first.push(head);
        rest = tail;
        need = ratio(need, has);
      } else if (isWhole(ratio(has, need))) {
        this.#refine(head, [need, ratio(has, need)]);
        rest = this.leaves(rest);
      } else return undefined;
    }
    return { first, rest };
  }

  #fresh(size: Size, reason?: string): Atom {
    const atom = this.#entries.length;
    this.#entries.push({ size, parent: atom, ...(reason === undefined ? {} : { reason }) });
    return atom;
  }

  #entry(atom: Atom): Entry {
    return this.#entries[atom] as Entry;
  }

  #root(atom: Atom): Atom {
    let root = atom;
    while (this.#entry(root).parent !== root) root = this.#entry(root).parent;
    this.#entry(atom).parent = root;
    return root;
  }

  #refine(atom: Atom, sizes: readonly Size[]): void {
    const entry = this.#entry(this.#root(atom));
    entry.children = sizes.map((size) => this.#fresh(size, entry.reason));
  }

  #union(a: Atom, b: Atom): void {
    const [root, other] = [this.#root(a), this.#root(b)];
    if (root === other) return;
    const kept = this.#entry(root);
    const gone = this.#entry(other);
    gone.parent = root;
    const reason = kept.reason ?? gone.reason;
    if (reason !== undefined) kept.reason = reason;
  }
}

export function isOne(size: Size): boolean {
  return size.every((entry) => entry === 1);
}

/** The length where it is the same in all traces. */
export function fixedSize(size: Size): number | undefined {
  return size.every((entry) => entry === size[0]) ? size[0] : undefined;
}

export function ratio(a: Size, b: Size): number[] {
  return a.map((entry, i) => entry / (b[i] ?? 1));
}

function isWhole(size: Size): boolean {
  return size.every((entry) => Number.isInteger(entry) && entry > 0);
}
