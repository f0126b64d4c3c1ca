/** Prepared HTTP requests, whole, so that a client need only write them. */
import type { PackedInputs } from '../../infra/node/tensors.ts';
import { bytesOf, joinBody } from '../../schema/binary-tensors.ts';
import type { Manifest } from '../../schema/manifest.ts';

type Headers = Readonly<Record<string, string>>;

/** @param level none asks for whatever version the server chooses */
export function binaryRequest(
  of: Pick<Manifest, 'model' | 'inputs'>,
  { feeds }: PackedInputs,
  level: number | undefined,
  headers: Headers = {},
): Uint8Array {
  const tails = feeds.map(({ data }) => bytesOf(data));
  const inputs = of.inputs.map(({ name, datatype }, i) => ({
    name,
    datatype,
    shape: feeds[i]?.dims,
    parameters: { binary_data_size: tails[i]?.length },
  }));
  const { body, headerLength } = joinBody({ inputs, parameters: { binary_data_output: true } }, tails);
  return post(of, level, body, {
    ...headers,
    'Content-Type': 'application/octet-stream',
    'Inference-Header-Content-Length': String(headerLength),
  });
}

export function jsonRequest(
  of: Pick<Manifest, 'model' | 'inputs'>,
  { feeds }: PackedInputs,
  level: number | undefined,
  headers: Headers = {},
): Uint8Array {
  const inputs = of.inputs.map(({ name, datatype }, i) => ({
    name,
    datatype,
    shape: feeds[i]?.dims,
    data: Array.from<number | bigint, unknown>(feeds[i]?.data ?? [], (value) =>
      datatype === 'BOOL' ? Number(value) !== 0 : Number(value),
    ),
  }));
  const body = new TextEncoder().encode(JSON.stringify({ inputs }));
  return post(of, level, body, { ...headers, 'Content-Type': 'application/json' });
}

function post(
  { model }: Pick<Manifest, 'model'>,
  level: number | undefined,
  body: Uint8Array,
  headers: Headers,
): Uint8Array {
  const path = `/v2/models/${model.id}${level === undefined ? '' : `/versions/${level}`}/infer`;
  const lines = Object.entries({ Host: '127.0.0.1', ...headers, 'Content-Length': body.length });
  const head = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}
