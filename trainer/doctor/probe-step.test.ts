import { expect, test } from 'vitest';
import { textLines } from '../graph/open-sides.fixture.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { stepFor } from './probe-step.ts';

test('images keep the one height that they must have, though the file leaves it open', async () => {
  const { step } = await stepFor(await preparePairs(textLines(), 'built'));
  expect(step.feeds.x?.dims.slice(1)).toEqual([3, 48, 128]);
});
