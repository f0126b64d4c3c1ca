import { expect, test } from 'vitest';
import { trustedUrl } from './trusted-url.ts';

test.each([
  'https://issuer.example.org',
  'https://issuer.example.org:8443/tenant?x=1',
  'http://127.0.0.1:8080/realms/a',
  'http://localhost',
  'http://[::1]:9000/',
])('%s is trusted', (text) => {
  expect(trustedUrl.safeParse(text).success).toBe(true);
});

test.each([
  'http://issuer.example.org',
  'http://localhost.example.org',
  'http://localhost:1@issuer.example.org',
  'http://127.0.0.1:80@issuer.example.org/keys',
  'http://[::1]@issuer.example.org',
  'https://user:secret@issuer.example.org',
  'http://127.0.0.1.example.org',
  'http://[::ffff:127.0.0.1]',
  'ftp://localhost',
  '//localhost',
  '',
])('%s is not', (text) => {
  expect(trustedUrl.safeParse(text).success).toBe(false);
});
