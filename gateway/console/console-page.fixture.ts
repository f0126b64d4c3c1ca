/** The console before a gateway that a test answers for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { decision, digits, goodNode, policyText } from './console.fixture.ts';
import { showConsole } from './console.ts';
import type { Session } from './session.ts';

const html = readFileSync(join(import.meta.dirname, 'console.html'), 'utf8');
const body = /<body>(.*?)<\/body>/s.exec(html)?.[1] ?? '';
export const TOKEN = 'op_good';

export interface Sent {
  readonly address: string;
  readonly body: unknown;
  readonly ifMatch: string | null;
}

/** A gateway: what it answers by method and path, and what it was sent. */
export function gateway() {
  const sent: Sent[] = [];
  const answers = new Map<string, () => Response>();
  const json = (value: unknown, headers = {}) => Response.json(value, { headers });
  const refuse = (status: number, detail: string, more: object = {}) => {
    const problem = { type: '/problems/x', title: 'x', status, detail, error: detail, code: 'x', ...more };
    return Response.json(problem, { status });
  };
  const document = (text: string, version: number) => json(JSON.parse(text), { etag: `"${version}"` });
  answers.set('GET /v1/policy', () => document(policyText, 4));
  answers.set('GET /v1/policy/versions/2', () => document(policyText.replace('0.99', '0.5'), 2));
  answers.set('GET /v1/nodes', () => json({ nodes: [goodNode], registered: [], next: null }));
  answers.set('GET /v1/models', () => json({ models: [digits] }));
  answers.set('GET /v1/decisions', () => json({ decisions: [decision(1, 0)], next: null }));
  answers.set('GET /v1/policy/versions', () =>
    json({
      versions: [4, 2].map((version) => ({
        version,
        createdAtMs: version,
        createdBy: 'ann',
        rollbackTo: null,
      })),
      next: null,
    }),
  );
  answers.set('GET /v1/audit', () =>
    json({
      entries: [{ id: 1, atMs: 1, actor: 'ann', action: 'policy.put', target: '4', detail: {} }],
      next: null,
    }),
  );
  const fetch = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    const address = `${init.method ?? 'GET'} ${path.replace(/\?.*/, '')}`;
    sent.push({ address, body: init.body, ifMatch: headers.get('if-match') });
    if (headers.get('authorization') !== `Bearer ${TOKEN}`) return refuse(401, 'Not valid.');
    return answers.get(address)?.() ?? refuse(404, 'Nothing there.');
  };
  return { sent, answers, fetch, json, refuse };
}

export const byId = (id: string) => document.getElementById(id) as HTMLElement;
export const editor = () => byId('policy') as HTMLTextAreaElement;
export const button = (name: string) =>
  [...document.querySelectorAll('button')].find(({ textContent, hidden }) => textContent === name && !hidden);
export const press = (name: string) => {
  const found = button(name);
  if (found === undefined) throw new Error(`there is no button ${name}`);
  found.click();
};
export const status = () => byId('policy-status').textContent;

function sessionOf(kept: string | null): Session & { kept: string | null } {
  return {
    kept,
    token() {
      return this.kept;
    },
    begin(token) {
      this.kept = token;
    },
    end() {
      this.kept = null;
    },
  };
}

/** Opens the page. @param kept token of the tab @returns what it keeps from then on, and where it has drawn */
export function opened(kept: string | null = TOKEN) {
  document.body.innerHTML = body;
  const session = sessionOf(kept);
  const drawn: string[] = [];
  showConsole(session, ({ id }) => ({ draw: () => void drawn.push(id), resize() {} }));
  return { session, drawn };
}

export function write(text: string): void {
  editor().value = text;
  editor().dispatchEvent(new Event('input'));
}

export function signIn(token: string): HTMLInputElement {
  const input = byId('token') as HTMLInputElement;
  input.value = token;
  byId('sign-in').dispatchEvent(new Event('submit', { cancelable: true }));
  return input;
}

export const until = (check: () => void) => vi.waitFor(check);
export const inService = () => until(() => expect(byId('fleet').textContent).toContain('in service'));
