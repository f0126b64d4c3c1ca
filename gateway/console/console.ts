/** The console: who may see it signs in, and its sections are read anew while somebody looks. */
import type { ChartIn } from '../../schema/page/chart.ts';
import { byId } from '../../schema/page/elements.ts';
import { type OperatorApi, operatorApi, Refused } from './api.ts';
import { fleetSection } from './fleet-section.ts';
import { historySection } from './history-section.ts';
import { modelsSection } from './models-section.ts';
import { policySection } from './policy-section.ts';
import type { Section } from './section.ts';
import type { Session } from './session.ts';
import { trafficSection } from './traffic-section.ts';

const REFRESH_MS = 5000;

export function showConsole(session: Session, chartIn: ChartIn): void {
  let api: OperatorApi | undefined;
  let sections: readonly Section[] = [];
  let reading: Promise<void> | undefined;

  const show = (signedIn: boolean) => {
    byId('sign-in').hidden = signedIn;
    for (const id of ['signed-in', 'nav', 'sign-out']) byId(id).hidden = !signedIn;
  };
  const end = (why = '') => {
    session.end();
    api = undefined;
    byId('sign-in-fault').textContent = why;
    show(false);
  };
  const told = (error: Refused) => {
    if (error.status === 401) end(error.message);
    else byId('fault').textContent = error.message;
  };

  /** All at once; what cannot be read stays as it was, and that is said. */
  const read = async () => {
    const results = await Promise.allSettled(sections.map((section) => section.refresh()));
    byId('fault').textContent = '';
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      if (!(result.reason instanceof Refused)) throw result.reason;
      told(result.reason);
    }
  };
  /** What is being read may be from before a change: it is read once more behind it. */
  const refresh = async () => {
    const begun: Promise<void> = (reading ?? Promise.resolve()).then(read);
    reading = begun;
    await begun;
    if (reading === begun) reading = undefined;
  };

  const begin = async (token: string) => {
    const asked = operatorApi(token);
    try {
      await asked.policy();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) return end(error.message);
      byId('sign-in-fault').textContent = error.message;
      return show(false);
    }
    session.begin(token);
    byId('sign-in-fault').textContent = '';
    show(true);
    api = asked;
    sections = sectionsOf(asked, chartIn, refresh, told);
    await refresh();
  };

  const token = byId('token') as HTMLInputElement;
  byId('sign-in').addEventListener('submit', (event) => {
    event.preventDefault();
    const given = token.value.trim();
    token.value = '';
    void begin(given);
  });
  // Sections hold on to the elements: a new page is a clean one.
  byId('sign-out').addEventListener('click', () => {
    session.end();
    location.reload();
  });
  const redraw = () => {
    for (const section of sections) section.redraw();
  };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  new ResizeObserver(redraw).observe(document.body);
  setInterval(() => {
    if (!document.hidden && api !== undefined && reading === undefined) void refresh();
  }, REFRESH_MS);

  const known = session.token();
  if (known === null) show(false);
  else void begin(known);
}

function sectionsOf(
  api: OperatorApi,
  chartIn: ChartIn,
  refresh: () => Promise<void>,
  failed: (error: Refused) => void,
): readonly Section[] {
  const policy = policySection(api, refresh);
  return [
    fleetSection(api),
    trafficSection(api, chartIn),
    modelsSection(api, chartIn),
    policy,
    historySection(api, policy, { changed: refresh, failed }),
  ];
}
