/** `trainer export`: one level as a plain ONNX file, for any runtime. */
import { basename, dirname } from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { assembleLevel, filesOfLevel } from '../../schema/artifact/level-model.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { writeDurably } from '../../schema/artifact/write.ts';
import { flagValue, numberOf, pathOf } from './flag-values.ts';

const levelSchema = z.int().min(0);

export function exportCommand(): Command {
  return new Command('export')
    .description('Write one level of an artifact as an ONNX file.')
    .argument('<directory>', 'the artifact')
    .requiredOption('--level <k>', '0 is the sparsest')
    .requiredOption('--out <file>', 'the ONNX file to write')
    .action(async (directory: string, flags: { level: string; out: string }) => {
      const level = flagValue(levelSchema, ['level', flags.level, numberOf(flags.level)], 'export');
      const out = pathOf('out', flags.out, 'export');
      const artifact = await openArtifact(directory);
      const paths = filesOfLevel(artifact.manifest, level);
      const files = new Map(
        await Promise.all(paths.map(async (path) => [path, await artifact.read(path)] as const)),
      );
      const model = assembleLevel(
        artifact.manifest,
        await artifact.read(artifact.manifest.graph),
        level,
        files,
      );
      await writeDurably(dirname(out), basename(out), model);
      process.stdout.write(
        `${out}: level ${level} of ${artifact.manifest.model.id}, ${model.length} bytes\n`,
      );
    });
}
