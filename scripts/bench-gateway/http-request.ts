/** What every target is asked, as bytes. */

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
  const lines = Object.entries({
    host: '127.0.0.1',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}
