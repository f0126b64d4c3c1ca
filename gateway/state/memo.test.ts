import { expect, test } from 'vitest';
import { memo } from './memo.ts';

test('a memo works out each of the latest arguments once, and holds no more than its limit', () => {
  const asked: string[] = [];
  const upper = memo(2, (text: string) => {
    asked.push(text);
    if (text === '') throw new Error('nothing');
    return text.toUpperCase();
  });
  expect(['a', 'b', 'a', 'b', 'c', 'c', 'a'].map(upper).join('')).toBe('ABABCCA');
  expect(asked.join('')).toBe('abca');
  for (let i = 0; i < 2; i++) expect(() => upper('')).toThrow('nothing');
  expect(upper('a')).toBe('A');
});
