/** The client that people use, unchanged, against the node. */
import { expect, test } from 'vitest';
import { disposables, readyNode, tinyArtifact } from '../../test/support/node-client.ts';
import { tritonclient } from '../../test/support/node-tritonclient.ts';
import { tinyReference } from '../../test/support/tiny-model.ts';

const X = [
  [0.5, -1, 2, 0.25],
  [-3, 1, 0, 1],
];
const TOKEN = [3, 0];

test('tritonclient[http] reads, asks and is refused as by any server of the protocol', {
  timeout: 600_000,
}, async (context) => {
  const client = await tritonclient();
  if ('absent' in client) return context.skip(client.absent);
  const scope = disposables();
  context.onTestFinished(() => scope.dispose());
  const artifact = await tinyArtifact(scope);
  const node = await readyNode(scope, { artifact });

  const seen = await client(new URL(node.url).host, JSON.stringify({ x: X, token: TOKEN }));
  const answer = (level: number, id: string | null = null) => {
    const { logits, label } = tinyReference(level, X, TOKEN);
    const close = logits.map((row) => row.map((value) => expect.closeTo(value, 5)));
    return { version: String(level), id, logits: close, label };
  };
  expect(seen).toEqual({
    live: true,
    ready: true,
    modelReady: true,
    otherReady: false,
    server: expect.objectContaining({ extensions: ['binary_tensor_data'] }),
    model: expect.objectContaining({
      name: 'tiny',
      versions: ['1'],
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [-1, 4] },
        { name: 'token', datatype: 'INT64', shape: [-1] },
      ],
    }),
    answers: {
      binary: answer(1, 'q7'),
      json: answer(1),
      mixed: answer(1),
      'binary in, JSON out': answer(1),
      gzip: answer(1),
      deflate: answer(1),
      later: answer(1),
    },
    awaited: { ready: true, answers: Array(4).fill(answer(1)) },
    dense: answer(2),
    wrongShape: { status: '400', message: expect.stringContaining('"x" has the shape [1, 3]') },
    unknownLevel: { status: '404', message: expect.stringContaining('no level "9"') },
    unknownModel: { status: '404', message: expect.stringContaining('no model "other"') },
  });
});
