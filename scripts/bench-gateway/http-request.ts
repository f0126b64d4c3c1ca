/** What every target is asked, as bytes. */
import { headerLengthName } from '../../schema/binary-tensors.ts';

/** An image of digits. */
export function bodyOf(id: string): string {
  return JSON.stringify({
    id,
    inputs: [
      {
        name: 'x',
        shape: [1, 784],
        datatype: 'FP32',
        data: Array.from({ length: 784 }, (_, i) => Number(Math.sin(i).toFixed(4))),
      },
    ],
  });
}

const BODY = bodyOf('bench');

export function httpRequest(path: string, headers: Readonly<Record<string, string>>, body = BODY): Buffer {
  return post(path, { 'content-type': 'application/json', ...headers }, Buffer.from(body));
}

/** The same with so many KiB of binary data behind the JSON. */
export function binaryHttpRequest(
  path: string,
  headers: Readonly<Record<string, string>>,
  kib: number,
): Buffer {
  const bytes = kib * 1024;
  const [name, datatype, shape] = ['x', 'FP32', [1, bytes / 4]];
  const inputs = [{ name, datatype, shape, parameters: { binary_data_size: bytes } }];
  const json = Buffer.from(JSON.stringify({ inputs }));
  const binary = { 'content-type': 'application/octet-stream', [headerLengthName]: String(json.length) };
  return post(path, { ...binary, ...headers }, Buffer.concat([json, Buffer.alloc(bytes)]));
}

function post(path: string, headers: Readonly<Record<string, string>>, body: Buffer): Buffer {
  const all = { host: '127.0.0.1', 'content-length': String(body.length), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), body]);
}
