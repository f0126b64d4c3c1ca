/** The console: who may see it signs in, and its sections are read anew while somebody looks. */
import type { ChartIn } from '../../schema/page/chart.ts';
import { byId, onColours, tell } from '../../schema/page/elements.ts';
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
  let token = '';
  let signedIn = false;
  /** Made once: they hold on to the elements, and to what stands in them when somebody signs in again. */
  let sections: readonly Section[] | undefined;
  let reading: Promise<void> | undefined;
  /** When all was read last. */
  let readAt: Date | undefined;
  const api = operatorApi(() => token);

  const show = (inside: boolean) => {
    signedIn = inside;
    byId('sign-in').hidden = inside;
    for (const id of ['signed-in', 'nav', 'sign-out']) byId(id).hidden = !inside;
    byId(inside ? 'main' : 'token').focus({ preventScroll: true });
  };
  const end = (why: string) => {
    session.end();
    tell('sign-in-fault', why);
    if (signedIn) show(false);
  };

  /** All at once; what cannot be read stays as it was, and that is said. */
  const read = async () => {
    const results = await Promise.allSettled((sections ?? []).map((section) => section.refresh()));
    const reasons: unknown[] = results.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    const refusals = reasons.filter((reason) => reason instanceof Refused);
    const ended = refusals.find(({ status }) => status === 401);
    if (ended !== undefined) end(ended.message);
    if (reasons.length === 0) readAt = new Date();
    const since =
      readAt === undefined
        ? ''
        : ` What is not read stays as it was at ${readAt.toLocaleTimeString('en-GB')}.`;
    const [first] = refusals;
    tell('fault', first === undefined ? '' : `${first.message}${since}`);
    const unforeseen = reasons.find((reason) => !(reason instanceof Refused));
    if (unforeseen !== undefined) throw unforeseen;
  };
  /** What is being read may be from before a change: it is read once more behind it. */
  const refresh = async () => {
    const begun: Promise<void> = (reading ?? Promise.resolve()).then(read, read);
    reading = begun;
    try {
      await begun;
    } finally {
      if (reading === begun) reading = undefined;
    }
  };

  const enter = async () => {
    tell('sign-in-fault', '');
    sections ??= sectionsOf(api, chartIn, refresh);
    show(true);
    await refresh();
  };
  const signIn = async (input: HTMLInputElement) => {
    token = input.value.trim();
    try {
      await api.policy();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) input.value = '';
      return tell('sign-in-fault', error.message);
    }
    input.value = '';
    session.begin(token);
    await enter();
  };

  byId('sign-in').addEventListener('submit', (event) => {
    event.preventDefault();
    void signIn(byId('token') as HTMLInputElement);
  });
  byId('sign-out').addEventListener('click', () => {
    session.end();
    location.reload();
  });
  const redraw = () => {
    for (const section of sections ?? []) section.redraw();
  };
  onColours(redraw);
  onWidth(document.body, redraw);
  const look = () => {
    if (!document.hidden && signedIn && reading === undefined) void refresh();
  };
  setInterval(look, REFRESH_MS);
  document.addEventListener('visibilitychange', look);

  const known = session.token();
  if (known === null) show(false);
  else {
    token = known;
    void enter();
  }
}

/** Of the heights, which what is drawn changes itself, nothing is told. */
function onWidth(element: HTMLElement, changed: () => void): void {
  let before: number | undefined;
  new ResizeObserver(() => {
    const width = element.clientWidth;
    if (width === before) return;
    before = width;
    changed();
  }).observe(element);
}

function sectionsOf(api: OperatorApi, chartIn: ChartIn, changed: () => Promise<void>): readonly Section[] {
  const policy = policySection(api, changed);
  return [
    fleetSection(api),
    trafficSection(api, chartIn),
    modelsSection(api, chartIn),
    policy,
    historySection(api, policy, changed),
  ];
}
