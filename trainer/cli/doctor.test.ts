import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { doctorCommand } from './doctor.ts';

const doctor = (...given: string[]) => doctorCommand().parseAsync(given, { from: 'user' });

test('a file that is no model is an error, not a table of backends that fail', async () => {
  await expect(doctor('missing.onnx')).rejects.toMatchObject({ code: 'bad-model' });
  const other = fileURLToPath(import.meta.url);
  await expect(doctor(other)).rejects.toMatchObject({ code: 'bad-model' });
});

test('a model of a fixed batch is told once, with the way out', async () => {
  const b = new GraphBuilder();
  const hidden = b.op('Relu', [b.linear(b.input('x', [4, 8]), b.weight(8, 16))]);
  const graph = b.build({ y: [b.linear(hidden, b.weight(16, 4)), [4, 4]] });
  const folder = mkdtempSync(join(tmpdir(), 'doctor-'));
  try {
    const path = join(folder, 'fixed.onnx');
    writeFileSync(path, writeOnnx(graph));
    await expect(doctor(path)).rejects.toMatchObject({
      code: 'bad-model',
      hint: expect.stringContaining('dynamic batch'),
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a time that is none is refused before anything is measured', async () => {
  await expect(doctor('missing.onnx', '--seconds', '0')).rejects.toMatchObject({ code: 'usage' });
});
