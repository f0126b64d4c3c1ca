import { expect, test } from 'vitest';
import { headerLengthName } from '../../schema/binary-tensors.ts';
import { readUpload } from './upload.ts';

test('one image of 224 x 224 in FP32 can be sent again, to another node', async () => {
  const shape = [1, 3, 224, 224];
  const size = 4 * shape.reduce((a, b) => a * b);
  const inputs = [{ name: 'pixels', shape, datatype: 'FP32', parameters: { binary_data_size: size } }];
  const json = new TextEncoder().encode(JSON.stringify({ inputs }));
  const body = new Uint8Array(json.length + size);
  body.set(json);
  const headers = { [headerLengthName]: String(json.length), 'content-length': String(body.length) };
  const request = new Request('http://gateway/', { method: 'POST', headers, body });
  const upload = await readUpload(request, request.headers, 1e8);
  expect(upload).toMatchObject({ repeatable: true, batch: 1, bytes: body.length });
});
