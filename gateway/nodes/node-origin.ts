/**
 * Which addresses may be nodes'. The gateway sends inputs and its secret there, so nobody must be able to
 * point it at what only this network can reach, unless the deployment says that its nodes are there.
 */
import ipaddr from 'ipaddr.js';
import { SppError } from '../../schema/errors.ts';

/** `here` is this machine. */
type Reach = 'public' | 'private' | 'here' | 'nowhere';

/** Names that no public resolver knows, or that say where they lead; `svc` ends those of Kubernetes' services within a cluster. */
const PRIVATE_NAME =
  /^[^.]+$|(?:^|\.)(?:local|internal|intranet|private|corp|lan|home|home\.arpa|localdomain|svc|test)$/;
const HERE = /(?:^|\.)localhost$/;

/** Where clouds keep their machines' credentials, beside link-local addresses: AWS, Alibaba, Azure, Google. */
const METADATA: ReadonlySet<string> = new Set([
  'fd00:ec2::254',
  'fd00:ec2::23',
  '100.100.100.200',
  '168.63.129.16',
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
]);

const PRIVATE_RANGES: ReadonlySet<string> = new Set(['private', 'uniqueLocal', 'carrierGradeNat']);

/** All that was ever given out of IPv6 for global use; of the rest some once were IPv4 addresses in another form. */
const GLOBAL = ipaddr.IPv6.parse('2000::');

/**
 * @param privateToo whether addresses that only some networks reach are taken, and http there
 * @param hereToo the same for this machine alone
 * @returns the origin, without a slash at its end, the same for all ways to write it
 * @throws `bad-request` saying what is wrong with the address
 */
export function nodeOrigin(text: string, privateToo: boolean, hereToo = privateToo): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw refused('is not an https address', 'It is such as https://node.example.org.');
  if (url.username !== '' || url.password !== '') throw refused('holds credentials');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || /[?#]/.test(text))
    throw refused('is more than an origin such as https://node.example.org');
  if (url.port === '0') throw refused('has port 0, on which nothing listens');
  // The root that names end in says nothing more: with it a node would be a second one, and its certificate another's.
  url.hostname = url.hostname.replace(/\.+$/, '');
  const reach = reachOf(url.hostname);
  if (reach === 'nowhere') throw refused('is no place for a node', NOWHERE_HINT);
  if ((reach === 'private' && !privateToo) || (reach === 'here' && !hereToo))
    throw refused('can be reached from some networks only', HINT);
  if (reach === 'public' && url.protocol === 'http:')
    throw refused('is not encrypted on the way', PLAIN_HINT);
  return url.origin;
}

const PLAIN_HINT =
  'Give it an https address; http is taken within a private network alone, where PRIVATE_NODES=on.';
const NOWHERE_HINT = 'Link-local addresses and those of a cloud’s metadata are never taken.';
const HINT = 'PRIVATE_NODES=on lets a deployment have nodes on this machine or in a network of its own.';

/** @param host as URLs have it: in lower case, numbers in their plain form, IPv6 in brackets */
function reachOf(host: string): Reach {
  const bare = host.replace(/^\[|\]$/g, '').replace(/\.+$/, '');
  if (bare === '' || METADATA.has(bare)) return 'nowhere';
  if (HERE.test(bare)) return 'here';
  if (!ipaddr.isValid(bare)) return PRIVATE_NAME.test(bare) ? 'private' : 'public';
  // IPv4 within IPv6 is judged as the IPv4 address that it is.
  const address = ipaddr.process(bare);
  if (METADATA.has(address.toString())) return 'nowhere';
  const range = address.range();
  if (range === 'unicast')
    return address.kind() === 'ipv4' || address.match(GLOBAL, 3) ? 'public' : 'nowhere';
  if (range === 'loopback') return 'here';
  // Link-local addresses are where most clouds keep their machines' credentials.
  return PRIVATE_RANGES.has(range) ? 'private' : 'nowhere';
}

function refused(what: string, hint?: string): SppError {
  return new SppError('bad-request', `The node is not valid. url ${what}.`, {
    ...(hint === undefined ? {} : { hint }),
    details: { errors: [{ path: 'url', message: what }] },
  });
}
