import { describe, expect, test } from 'vitest';
import { nodeOrigin } from './node-origin.ts';

describe('the origin of a node', () => {
  test.each([
    ['https://node.example.org', 'https://node.example.org'],
    ['https://node.example.org/', 'https://node.example.org'],
    ['https://Node.Example.org:8443', 'https://node.example.org:8443'],
    ['https://203.0.114.7', 'https://203.0.114.7'],
    ['https://[2606:4700::1]', 'https://[2606:4700::1]'],
    // One host, with the root that all names end in and without.
    ['https://node.example.org.', 'https://node.example.org'],
    ['https://node.example.org.:8443/', 'https://node.example.org:8443'],
    ['https://203.0.114.7.', 'https://203.0.114.7'],
  ])('%s is taken', (text, origin) => {
    for (const privateToo of [false, true]) expect(nodeOrigin(text, privateToo)).toBe(origin);
  });

  test.each([
    'http://127.0.0.1:8788',
    'https://localhost',
    'https://app.localhost',
    'http://10.1.2.3',
    'http://192.168.0.9:80',
    'https://100.64.0.1',
    // Other ways to write 127.0.0.1.
    'https://2130706433',
    'https://0x7f.1',
    'https://[::1]',
    'https://[::ffff:127.0.0.1]',
    'https://[fd00::1]',
    'http://node',
    'https://node.internal.',
    'https://localhost..',
    'http://node.default.svc.cluster.local:8788',
    'http://node-0.node.default.svc:8788',
    'http://node.test',
  ])('%s is taken only where the deployment has nodes in its own network', (text) => {
    expect(() => nodeOrigin(text, false)).toThrow(/some networks only/);
    expect(nodeOrigin(text, true)).toBe(new URL(text).origin.replace(/\.+(?=$|:\d+$)/, ''));
  });

  test.each([
    'http://node.example.org',
    'http://203.0.114.7',
    'ftp://node.example.org',
    'file:///etc/passwd',
    'node.example.org',
    '',
    'https://user:secret@node.example.org',
    'https://node.example.org/v2',
    'https://node.example.org:0',
    'https://node.example.org?a=1',
    'https://node.example.org/#a',
    // Where clouds keep credentials, and what is no machine's address.
    'http://169.254.169.254',
    'http://[fe80::1]',
    'http://[fd00:ec2::254]',
    'https://[fd00:0ec2:0:0::254]',
    'https://[::ffff:100.100.100.200]',
    'https://168.63.129.16',
    'http://metadata.google.internal',
    'http://metadata',
    'https://[::ffff:169.254.169.254]',
    'https://[64:ff9b::a9fe:a9fe]',
    // The deprecated form of IPv4 within IPv6, and what was never given out.
    'https://[::169.254.169.254]',
    'https://[::127.0.0.1]',
    'https://[4000::1]',
    'http://metadata..',
    'http://metadata.google.internal.',
    'http://169.254.169.254.',
    'https://.',
    'https://0.0.0.0',
    'https://224.0.0.1',
    'https://255.255.255.255',
  ])('%s is never taken', (text) => {
    for (const privateToo of [false, true])
      expect(() => nodeOrigin(text, privateToo)).toThrow(expect.objectContaining({ code: 'bad-request' }));
  });

  test.each([
    ['http://node.example.org', /https address; http .*PRIVATE_NODES/],
    ['http://169.254.169.254', /never taken/],
    ['node.example.org', /such as https/],
  ])('a refusal of %s says what would do', (text, hint) => {
    expect(() => nodeOrigin(text, true)).toThrow(
      expect.objectContaining({ hint: expect.stringMatching(hint) }),
    );
  });

  test('a refusal does not repeat credentials', () => {
    expect(() => nodeOrigin('https://user:secret@node.example.org', true)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') }),
    );
  });
});
