/** Values of flags held to schemas: what somebody is told who gave a wrong one follows from the schema, for every flag alike. */
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';

/** Of a JSON schema, what flags' schemas have. */
interface Described {
  readonly type?: string;
  readonly description?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Described[];
  readonly items?: Described;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

interface Asked {
  /** As in `trainer build-path`. */
  readonly command: string;
  /** What was typed, by flag; a value that nobody typed follows from something else. */
  readonly typed: Readonly<Record<string, unknown>>;
  /** Flags by option, where they are called otherwise. */
  readonly names?: Readonly<Record<string, string>>;
}

/**
 * @param given the values as the schema takes them
 * @throws `usage` naming every wrong flag, what was typed and what it takes
 */
export function flagValues<Schema extends z.ZodObject>(
  schema: Schema,
  given: Readonly<Record<string, unknown>>,
  { command, typed, names = {} }: Asked,
): z.infer<Schema> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const wrong = new Map(parsed.error.issues.map((issue) => [String(issue.path[0]), issue]));
  const sentences = [...wrong].map(([option, issue]) => {
    const name = names[option] ?? option;
    const takes =
      issue.code === 'invalid_format' ? issue.message : `it takes ${takenBy(schema.shape[option])}`;
    const value = typed[name];
    return value === undefined
      ? `${flagOf(name)} must be given: ${JSON.stringify(given[option])} is not usable, ${takes}.`
      : `${flagOf(name)} ${value === '' ? '""' : String(value)} is not usable: ${takes}.`;
  });
  throw new SppError('usage', sentences.join(' '), { hint: `See trainer ${command} --help.` });
}

/** One flag that stands by itself. @throws `usage` */
export function flagValue<Schema extends z.ZodType>(
  schema: Schema,
  [name, typed, value = typed]: readonly [name: string, typed: unknown, value?: unknown],
  command: string,
): z.infer<Schema> {
  return flagValues(z.object({ [name]: schema }), { [name]: value }, { command, typed: { [name]: typed } })[
    name
  ] as z.infer<Schema>;
}

/** A path as it is typed: an empty one would be the folder that the command runs in. @throws `usage` */
export function pathOf(name: string, typed: unknown, command: string): string {
  return flagValue(z.string().min(1).describe('a path'), [name, typed], command);
}

/** A number as it is typed: nothing typed is none. */
export function numberOf(typed: unknown): number {
  return String(typed).trim() === '' ? Number.NaN : Number(typed);
}

/** As it is typed: `recoverRate` is --recover-rate. */
export function flagOf(option: string): string {
  return `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function takenBy(schema: unknown): string {
  const described = z.toJSONSchema(schema as z.ZodType, { io: 'input' }) as Described;
  const { default: standard } = described;
  return `${inWords(described)}${standard === undefined ? '' : ` (${String(standard)} where it is left out)`}`;
}

function inWords(described: Described): string {
  if (described.anyOf) return described.anyOf.map(inWords).join(', or ');
  if (described.const !== undefined) return String(described.const);
  if (described.enum) return described.enum.join(' or ');
  if (described.type === 'array') return `values with commas between, each ${inWords(described.items ?? {})}`;
  if (described.type === 'string') return described.description ?? 'a text';
  return `a ${described.type === 'integer' ? 'whole number' : 'number'}${boundsOf(described)}`;
}

function boundsOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Described): string {
  // What a number can hold is no bound that anybody set.
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (minimum !== undefined && most !== undefined) return ` from ${minimum} to ${most}`;
  const bounds = [
    ...(minimum === undefined ? [] : [`of at least ${minimum}`]),
    ...(exclusiveMinimum === undefined ? [] : [`above ${exclusiveMinimum}`]),
    ...(most === undefined ? [] : [`of at most ${most}`]),
    ...(exclusiveMaximum === undefined ? [] : [`below ${exclusiveMaximum}`]),
  ];
  return bounds.length === 0 ? '' : ` ${bounds.join(' and ')}`;
}
