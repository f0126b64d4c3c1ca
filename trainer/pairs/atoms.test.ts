import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Atoms } from './atoms.ts';

const both = (size: number) => [size, size];

describe('dimension atoms', () => {
  test('an axis of length 1 has none', () => {
    expect(new Atoms().axis([1, 1])).toEqual([]);
    expect(new Atoms().axis([1, 2])).toHaveLength(1);
  });

  test('a boundary inside an atom refines it wherever it occurs', () => {
    const atoms = new Atoms();
    const axis = atoms.axis(both(192));
    const elsewhere = [...atoms.axis(both(5)), ...axis];
    const taken = atoms.takeFirst(axis, both(3));
    expect(atoms.leaves(taken?.first ?? []).map((atom) => atoms.size(atom))).toEqual([both(3)]);
    expect(atoms.leaves(elsewhere).map((atom) => atoms.size(atom)[0])).toEqual([5, 3, 64]);
  });

  test('equal axes become one, with the reason that either had', () => {
    const atoms = new Atoms();
    const [whole, parts] = [atoms.axis(both(12)), [...atoms.axis(both(3)), ...atoms.axis(both(4))]];
    atoms.pin(parts.slice(1), 'is mixed');
    atoms.unify(whole, parts);
    expect(atoms.leaves(whole)).toEqual(atoms.leaves(parts));
    expect(atoms.leaves(whole).map((atom) => atoms.reason(atom))).toEqual([undefined, 'is mixed']);
  });

  test('groupings that do not nest are pinned, not guessed', () => {
    const atoms = new Atoms();
    const [a, b] = [
      [...atoms.axis(both(4)), ...atoms.axis(both(6))],
      [...atoms.axis(both(6)), ...atoms.axis(both(4))],
    ];
    atoms.unify(a, b);
    for (const atom of [...atoms.leaves(a), ...atoms.leaves(b)])
      expect(atoms.reason(atom)).toMatch(/do not nest/);
    expect(atoms.takeFirst(a, both(6))).toBeUndefined();
  });

  test('lengths that coincide in one trace are told apart by the other', () => {
    const atoms = new Atoms();
    const [batch, rest] = [atoms.axis([2, 3]), atoms.axis([2, 2])];
    expect(atoms.takeFirst([...rest, ...batch], [2, 3])).toBeUndefined();
    expect(atoms.takeFirst([...batch, ...rest], [2, 3])?.rest).toEqual(rest);
  });

  test('whatever is unified or refined, an axis keeps its length', () => {
    const sizes = fc.array(fc.constantFrom(2, 3, 4, 6), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(sizes, fc.array(sizes, { maxLength: 4 }), (base, shapes) => {
        const atoms = new Atoms();
        const axes = [base, ...shapes].map((shape) => shape.flatMap((size) => atoms.axis(both(size))));
        const before = axes.map((axis) => atoms.length(axis));
        for (const [i, axis] of axes.entries()) {
          const other = axes.find((candidate, j) => j > i && before[j]?.[0] === before[i]?.[0] && candidate);
          if (other) atoms.unify(axis, other);
          atoms.takeFirst(axis, both(2));
        }
        expect(axes.map((axis) => atoms.length(axis))).toEqual(before);
      }),
    );
  });
});
