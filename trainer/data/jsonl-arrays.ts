/** Records of arrays by input name, stacked. */
import { elementCount, type Tensor } from '../graph/graph.ts';
import { type ArraySource, arrayDataset, type Columns } from './array-dataset.ts';
import type { DataSettings } from './data-settings.ts';
import { labelDiffers, type RecordKind } from './jsonl-kind.ts';
import { LabelList } from './jsonl-labels.ts';
import type { JsonRecord, NumberArray } from './jsonl-record.ts';
import { gather, RowWriter } from './rows.ts';

type ArrayRecord = Extract<JsonRecord, { readonly kind: 'arrays' }>;

export function arrayRecords(first: ArrayRecord, { seed = 0 }: DataSettings): RecordKind {
  const wanted = shapesOf(first.arrays);
  const columns = Object.entries(first.arrays).map(([name, { shape }]) => ({
    name,
    stack: new Stack(shape),
  }));
  const labels = new LabelList();
  return {
    differs(record) {
      if (record.kind !== 'arrays') return 'holds no arrays, the first does';
      const own = shapesOf(record.arrays);
      return own === wanted ? labelDiffers(record, first) : `holds ${own}, the first ${wanted}`;
    },
    async add(records) {
      for (const { record } of records) {
        if (record.kind !== 'arrays') continue;
        for (const { name, stack } of columns) stack.add(record.arrays[name] as NumberArray);
        labels.add(record.label);
      }
    },
    finish(source, bad) {
      const { targets, ...known } = labels.finish();
      const arrays = Object.fromEntries(columns.map(({ name, stack }) => [name, stack.finish()]));
      const made: Columns = { arrays, ...known };
      return arrayDataset({ ...source, ...(targets ? { targets } : {}) }, made, undefined, seed, bad);
    },
  };
}

function shapesOf(arrays: Readonly<Record<string, NumberArray>>): string {
  const shapes = Object.entries(arrays).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
  return shapes.toSorted().join(', ');
}

const NUMBER_BYTES = 8;

/** Arrays of one shape; whole numbers everywhere make an integer array, which only the end shows. */
class Stack {
  private readonly shape: readonly number[];
  private readonly rowBytes: number;
  private readonly writer: RowWriter;
  private whole = true;

  constructor(shape: readonly number[]) {
    this.shape = shape;
    this.rowBytes = NUMBER_BYTES * elementCount(shape);
    this.writer = new RowWriter(this.rowBytes);
  }

  add({ values }: NumberArray): void {
    this.whole &&= values.every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31);
    this.writer.write(new Uint8Array(Float64Array.from(values).buffer));
  }

  finish(): ArraySource {
    const rows = this.writer.finish();
    const dims = (count: number) => [count, ...this.shape];
    const take = (indices: readonly number[]): Tensor => {
      const numbers = new Float64Array(gather(rows, this.rowBytes, indices).buffer);
      return this.whole
        ? { dtype: 'int32', dims: dims(indices.length), data: Int32Array.from(numbers) }
        : { dtype: 'float32', dims: dims(indices.length), data: Float32Array.from(numbers) };
    };
    return { dtype: this.whole ? 'int32' : 'float32', dims: dims(rows.count), take };
  }
}
