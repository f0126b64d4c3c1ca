/** The operator's interface as the console asks it. */
import { z } from 'zod';
import {
  auditSchema,
  decisionsSchema,
  dryRunSchema,
  nodesSchema,
  operatorModelsSchema,
  policyVersionsSchema,
  problemSchema,
  validationSchema,
} from '../openapi/answers.ts';

export type FleetNode = z.infer<typeof nodesSchema>['nodes'][number];
export type Model = z.infer<typeof operatorModelsSchema>['models'][number];
export type Decision = z.infer<typeof decisionsSchema>['decisions'][number];
export type DryRun = z.infer<typeof dryRunSchema>;
export type Validation = z.infer<typeof validationSchema>;
export type PolicyVersion = z.infer<typeof policyVersionsSchema>['versions'][number];
export type AuditEntry = z.infer<typeof auditSchema>['entries'][number];

/** Shown as it is: the gateway knows what may stand in it. */
const policyAnswerSchema = z.looseObject({});

/** A policy as it is written, and what it has to be replaced by. */
export interface PolicyText {
  readonly text: string;
  readonly etag: string;
}

export interface OperatorApi {
  /** Without the times that they have measured. */
  nodes(): Promise<readonly FleetNode[]>;
  models(): Promise<readonly Model[]>;
  /** The newest, at most so many. @param after only those that came after this one */
  decisions(most: number, after?: number): Promise<readonly Decision[]>;
  /** In force. */
  policy(): Promise<PolicyText>;
  policyVersion(version: number): Promise<PolicyText>;
  versions(): Promise<readonly PolicyVersion[]>;
  validate(text: string): Promise<Validation>;
  dryRun(text: string): Promise<DryRun>;
  /** @param etag of the policy that it takes the place of */
  activate(text: string, etag: string): Promise<void>;
  rollBack(version: number, etag: string): Promise<void>;
  /** The newest. @param after only those that came after this one */
  audit(after?: number): Promise<readonly AuditEntry[]>;
}

/** What the gateway refused, or could not be asked. */
export class Refused extends Error {
  override readonly name = 'Refused';
  /** 0 where nothing was answered. */
  readonly status: number;
  /** Where in what was sent, and what is wrong there. */
  readonly faults: readonly { readonly path: string; readonly message: string }[];

  constructor(status: number, message: string, faults: Refused['faults'] = []) {
    super(message);
    this.status = status;
    this.faults = faults;
  }
}

const DECISIONS_A_PAGE = 200;
/** Versions, and entries of the trail. */
export const SHOWN = 20;
/** A dry run of many requests under a long policy takes some seconds. */
const PATIENCE_MS = 30_000;

const TOKEN = /^[\x21-\x7e]*$/;

/** Every method throws `Refused`. @param token of an operator, as it is when something is asked */
export function operatorApi(token: () => string): OperatorApi {
  async function ask(path: string, init: RequestInit = {}): Promise<Response> {
    const shown = token();
    // What no header carries is not sent, which would look as if the gateway were away.
    if (!TOKEN.test(shown)) throw new Refused(401, 'No token has such characters; copy it again, whole.');
    const headers = { ...init.headers, authorization: `Bearer ${shown}` };
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(path, { ...init, headers, signal, cache: 'no-store' }).catch(() => {
      throw new Refused(
        0,
        signal.aborted
          ? `The gateway has not answered for ${PATIENCE_MS / 1000} s.`
          : 'The gateway is not reached.',
      );
    });
    if (response.ok) return response;
    const problem = problemSchema.safeParse(await response.json().catch(() => undefined));
    if (!problem.success) throw new Refused(response.status, `The gateway answers ${response.status}.`);
    const { detail, hint, errors } = problem.data;
    throw new Refused(response.status, [detail, hint].filter(Boolean).join(' '), faultsOf(errors));
  }

  async function read<T>(schema: z.ZodType<T>, path: string, init?: RequestInit): Promise<T> {
    return parsed(schema, path, await ask(path, init));
  }

  /** What breaks off, or is a proxy's page, is no answer either. */
  async function parsed<T>(schema: z.ZodType<T>, path: string, response: Response): Promise<T> {
    const result = schema.safeParse(await response.json().catch(() => undefined));
    if (!result.success)
      throw new Refused(
        200,
        `${path} is answered otherwise than this page expects; reload it where the gateway has been updated.`,
      );
    return result.data;
  }

  const document = (method: string, body: string, etag?: string): RequestInit => ({
    method,
    body,
    headers: {
      'content-type': 'application/json',
      ...(etag === undefined ? {} : { 'if-match': etag }),
    },
  });

  async function policyAt(path: string): Promise<PolicyText> {
    const response = await ask(path);
    const text = JSON.stringify(await parsed(policyAnswerSchema, path, response), undefined, 2);
    return { text, etag: response.headers.get('etag') ?? '' };
  }

  return {
    nodes: async () => (await read(nodesSchema, '/v1/nodes?profiles=none')).nodes,
    models: async () => (await read(operatorModelsSchema, '/v1/models')).models,
    async decisions(most, after) {
      const found: Decision[] = [];
      let before: number | null | undefined;
      while (found.length < most && before !== null) {
        const limit = Math.min(DECISIONS_A_PAGE, most - found.length);
        const query = pageQuery(limit, { before, after });
        const page = await read(decisionsSchema, `/v1/decisions?${query}`);
        found.push(...page.decisions);
        before = page.next;
      }
      return found;
    },
    policy: () => policyAt('/v1/policy'),
    policyVersion: (version) => policyAt(`/v1/policy/versions/${version}`),
    versions: async () => (await read(policyVersionsSchema, `/v1/policy/versions?limit=${SHOWN}`)).versions,
    validate: (text) => read(validationSchema, '/v1/policy/validate', document('POST', text)),
    dryRun: (text) => read(dryRunSchema, '/v1/policy/dry-run', document('POST', text)),
    async activate(text, etag) {
      await ask('/v1/policy', document('PUT', text, etag));
    },
    async rollBack(version, etag) {
      await ask('/v1/policy/rollback', document('POST', JSON.stringify({ version }), etag));
    },
    async audit(after) {
      const query = pageQuery(SHOWN, { after });
      return (await read(auditSchema, `/v1/audit?${query}`)).entries;
    },
  };
}

function pageQuery(limit: number, range: Readonly<Record<string, number | undefined>>): string {
  const query = new URLSearchParams({ limit: `${limit}` });
  for (const [name, id] of Object.entries(range)) if (id !== undefined) query.set(name, `${id}`);
  return query.toString();
}

function faultsOf(errors: unknown): Refused['faults'] {
  if (!Array.isArray(errors)) return [];
  return errors.flatMap((each: unknown) => {
    const { path, message } = Object(each) as Partial<Record<string, unknown>>;
    return typeof path === 'string' && typeof message === 'string' ? [{ path, message }] : [];
  });
}
