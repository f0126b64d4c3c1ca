import { expect, test } from 'vitest';
import { etagOf, requireMatch } from './etag.ts';

test.each([etagOf(7), '*', '"6", "7"', ' "7" '])('If-Match: %s is for version 7', (header) => {
  expect(() => requireMatch(header, 7)).not.toThrow();
});

test.each(['"6"', '7', 'W/"7"', '', '"77"'])('If-Match: %s is not', (header) => {
  expect(() => requireMatch(header, 7)).toThrow(
    expect.objectContaining({ code: 'etag-mismatch', status: 412 }),
  );
});

test('no If-Match is no permission', () => {
  expect(() => requireMatch(null, 7)).toThrow(
    expect.objectContaining({ code: 'precondition-required', status: 428 }),
  );
});
