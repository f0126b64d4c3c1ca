/** Reads the equation of an Einsum. */
import { SppError } from '../../schema/errors.ts';

export interface Equation {
  /** Labels of each operand's axes. */
  readonly inputs: readonly (readonly string[])[];
  readonly output: readonly string[];
}

/**
 * `...` stands for as many labels `.0`, `.1` (counted from the right) as the operands have axes there.
 * @throws `bad-model` when the equation does not fit the operands' ranks
 */
export function parseEquation(equation: string, ranks: readonly number[]): Equation {
  const [left = '', right] = equation.replaceAll(' ', '').split('->');
  const terms = left.split(',');
  const unfit = () =>
    new SppError('bad-model', `The einsum ${equation} does not fit operands of ranks ${ranks}.`, {
      hint: 'Export the model again and check it with onnx.checker.check_model.',
    });
  if (terms.length !== ranks.length) throw unfit();
  const widths = terms.map((term, i) =>
    term.includes('...') ? (ranks[i] as number) - (term.length - 3) : 0,
  );
  const labelsOf = (term: string, width: number): string[] => {
    const dots = Array.from({ length: width }, (_, i) => `.${width - 1 - i}`);
    const [before = '', after = ''] = term.split('...');
    return [...before, ...dots, ...after];
  };
  const inputs = terms.map((term, i) => labelsOf(term, widths[i] as number));
  if (inputs.some((labels, i) => labels.length !== ranks[i])) throw unfit();
  const widest = Math.max(...widths);
  if (right !== undefined) return { inputs, output: labelsOf(right, right.includes('...') ? widest : 0) };
  // Without an arrow: broadcast axes, then the labels that occur once, in alphabetical order.
  const letters = [...left.replaceAll(/[.,]/g, '')];
  const once = letters.filter((letter) => letters.indexOf(letter) === letters.lastIndexOf(letter)).sort();
  return { inputs, output: [...labelsOf('...', widest), ...once] };
}
