/** The local deployment's secrets: made once, kept in a file that only its owner can read. */
import { randomBytes } from 'node:crypto';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../../schema/artifact/make-directory.ts';
import { SppError } from '../../schema/errors.ts';

const token = z.string().min(24);
const secretsSchema = z.strictObject({ operatorToken: token, nodeToken: token, keyPepper: token });

export type LocalSecrets = z.infer<typeof secretsSchema>;

/** @throws `usage` when the file is there but is not what it should be: keys would stop working if it were replaced */
export async function localSecrets(file: string): Promise<LocalSecrets> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) {
    const fresh = () => randomBytes(32).toString('base64url');
    const secrets = { operatorToken: fresh(), nodeToken: fresh(), keyPepper: fresh() };
    await writePrivate(file, secrets);
    return secrets;
  }
  const parsed = secretsSchema.safeParse(safeJson(text));
  if (!parsed.success)
    throw new SppError('usage', `${file} does not hold the secrets of a local deployment.`, {
      hint: 'Restore it, or delete it: new secrets are made then, and keys made before stop working.',
    });
  await chmod(file, 0o600);
  return parsed.data;
}

/** Writes JSON that only the owner can read; a crash leaves the old file or the new one. */
export async function writePrivate(file: string, value: unknown): Promise<void> {
  await makeDirectory(dirname(file));
  const temporary = `${file}.partial`;
  await writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  // The mode counts only for a file that is new.
  await chmod(temporary, 0o600);
  await rename(temporary, file);
}

export function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
