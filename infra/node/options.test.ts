import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import { isLoopback, resolveOptions } from './options.ts';

describe('options', () => {
  test('have defaults that start a node with nothing but an artifact', () => {
    expect(resolveOptions({ artifact: 'dir' })).toMatchObject({
      host: '127.0.0.1',
      port: 8788,
      ep: 'cpu',
      auth: 'none',
    });
  });

  test('take numbers as the command line gives them', () => {
    expect(resolveOptions({ artifact: 'dir', port: '80', workers: '2' })).toMatchObject({
      port: 80,
      workers: 2,
    });
  });

  test('give a GPU one thread, and each core one where cores compute', () => {
    const workersOn = (ep: 'cpu' | 'webgpu' | 'cuda', workers?: number) =>
      resolveOptions({ artifact: 'dir', ep, workers }).workers;
    expect(workersOn('cpu')).toBe(availableParallelism());
    expect([workersOn('webgpu'), workersOn('cuda'), workersOn('cuda', 3)]).toEqual([1, 1, 3]);
  });

  test('take a token with the end of its line, as secrets in files have it', () => {
    expect(resolveOptions({ artifact: 'dir', token: 'secret\n' }).token).toBe('secret');
  });

  test.each([
    [{ artifact: '' }, /--artifact/],
    [{ artifact: 'dir', port: 70_000 }, /--port/],
    [{ artifact: 'dir', workers: 0 }, /--workers/],
    [{ artifact: 'dir', maxBodyBytes: 'many' }, /--max-body-bytes/],
    [{ artifact: 'dir', workers: 4, queueLimit: 3 }, /--queue-limit 3/],
    [{ artifact: 'dir', auth: 'token' as const }, /NODE_TOKEN/],
    [{ artifact: 'dir', host: '::' }, /NODE_TOKEN/],
    [{ artifact: 'dir', token: 'two words' }, /NODE_TOKEN: has a space/],
    [{ artifact: 'dir', gateway: 'http://a', registrationToken: 'tökèn' }, /REGISTRATION_TOKEN: has/],
    [{ artifact: 'https://' }, /--artifact: is no address/],
    [{ artifact: 'dir', gateway: 'https://a?key=b', registrationToken: 't' }, /--gateway: .*NODE_TOKEN/],
    // A timer would take these for 1 ms.
    [{ artifact: 'dir', pollMs: 2 ** 31 }, /--poll-ms/],
    [{ artifact: 'dir', drainMs: 2 ** 31 }, /--drain-ms/],
    [{ artifact: 'dir', requestTimeoutMs: 2 ** 31 }, /--request-timeout-ms/],
  ])('%j is refused, naming the option', (options, message) => {
    expect(() => resolveOptions(options)).toThrow(
      expect.objectContaining({ code: 'usage', exitCode: 2, message: expect.stringMatching(message) }),
    );
  });

  test.each([
    [{ artifact: 'dir', token: 'two words' }, 'two words'],
    [{ artifact: 'http://node:s3cret@a/v1/artifacts/m' }, 's3cret'],
    [{ artifact: 'http://a/v1/artifacts/m/v1?signature=abc' }, 'abc'],
  ])('%j is secret in part, and that is not repeated where it is refused', (options, secret) => {
    expect(() => resolveOptions(options)).toThrow(
      expect.objectContaining({ code: 'usage', message: expect.not.stringContaining(secret) }),
    );
  });

  test.each([
    ['127.0.0.1', 'none'],
    ['localhost', 'none'],
    ['::1', 'none'],
    ['0.0.0.0', 'token'],
    ['node-1.internal', 'token'],
    ['127.example.org', 'token'],
  ])('on %s callers need %s unless told otherwise', (host, auth) => {
    expect(resolveOptions({ artifact: 'dir', host, token: 't' }).auth).toBe(auth);
    expect(isLoopback(host)).toBe(auth === 'none');
  });

  test.each([
    ['http://127.0.0.1:8787', 'none'],
    ['http://[::1]:8787', 'none'],
    ['https://gateway.example.org', 'token'],
    ['https://127.0.0.1.example.org', 'token'],
  ])('for a gateway at %s, which may reach it through a proxy, callers need %s', (gateway, auth) => {
    const options = { artifact: 'dir', gateway, registrationToken: 'r' };
    expect(resolveOptions({ ...options, token: 't' }).auth).toBe(auth);
    if (auth === 'token') expect(() => resolveOptions(options)).toThrow(/NODE_TOKEN/);
  });
});
