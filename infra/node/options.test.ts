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

  test.each([
    [{ artifact: '' }, /--artifact/],
    [{ artifact: 'dir', port: 70_000 }, /--port/],
    [{ artifact: 'dir', workers: 0 }, /--workers/],
    [{ artifact: 'dir', maxBodyBytes: 'many' }, /--max-body-bytes/],
    [{ artifact: 'dir', workers: 4, queueLimit: 3 }, /--queue-limit 3/],
    [{ artifact: 'dir', auth: 'token' as const }, /NODE_TOKEN/],
    [{ artifact: 'dir', host: '::' }, /NODE_TOKEN/],
  ])('%j is refused, naming the option', (options, message) => {
    expect(() => resolveOptions(options)).toThrow(
      expect.objectContaining({ code: 'usage', exitCode: 2, message: expect.stringMatching(message) }),
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
});
