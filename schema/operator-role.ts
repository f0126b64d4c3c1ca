/** What operators may do: look, change, and decide who else may. */
import { z } from 'zod';

/** Each may do what those before it may. */
export const operatorRoles = ['viewer', 'operator', 'admin'] as const;

export const operatorRoleSchema = z.enum(operatorRoles);

export type OperatorRole = z.infer<typeof operatorRoleSchema>;

export function atLeast(role: OperatorRole, wanted: OperatorRole): boolean {
  return operatorRoles.indexOf(role) >= operatorRoles.indexOf(wanted);
}
