import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { doctorCommand } from './doctor.ts';

const doctor = (...given: string[]) => doctorCommand().parseAsync(given, { from: 'user' });

test('a file that is no model is an error, not a table of backends that fail', async () => {
  await expect(doctor('missing.onnx')).rejects.toMatchObject({ code: 'bad-model' });
  const other = fileURLToPath(import.meta.url);
  await expect(doctor(other)).rejects.toMatchObject({ code: 'bad-model' });
});

test('a time that is none is refused before anything is measured', async () => {
  await expect(doctor('missing.onnx', '--seconds', '0')).rejects.toMatchObject({ code: 'usage' });
});
