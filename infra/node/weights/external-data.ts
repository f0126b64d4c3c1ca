/** Where an initializer's data lies outside of its model, as ONNX and onnxruntime write it: text by key. */
import { create } from '@bufbuild/protobuf';
import { StringStringEntryProtoSchema, type TensorProto, TensorProto_DataLocation } from 'onnx-buf';

export interface ExternalData {
  /** A file beside the model; undefined for data in the model itself. */
  readonly location?: string | undefined;
  /** Bytes from the file's start. */
  readonly offset?: number;
  readonly length?: number;
  /**
   * What a kernel made of the data, in the same file: `KERNEL+HASH|OFFSET;LENGTH;ALIGNMENT`. onnxruntime maps it where its own
   * packing of the data has that hash.
   */
  readonly prepacked_0?: string | undefined;
}

export function externalData({ externalData: entries }: TensorProto): ExternalData {
  const { location, offset, length, prepacked_0 } = Object.fromEntries(
    entries.map(({ key, value }) => [key, value]),
  );
  return { location, offset: Number(offset ?? 0), length: Number(length ?? 0), prepacked_0 };
}

export function setExternalData(tensor: TensorProto, data: ExternalData): void {
  tensor.rawData = new Uint8Array(0);
  tensor.floatData = [];
  tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
  tensor.externalData = Object.entries(data)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => create(StringStringEntryProtoSchema, { key, value: String(value) }));
}
