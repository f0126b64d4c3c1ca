/** Tensors as onnxruntime takes and gives them. */
import { Tensor } from 'onnxruntime-node';
import type { RawTensor } from '../tensors.ts';

const HALF = 'float16';

/** @param data row-major; `bool` as bytes of 0 and 1, `float16` as its bits */
export function ortTensor(
  type: string,
  data: RawTensor['data'] | Float32Array,
  dims: readonly number[],
): Tensor {
  const tensor = new Tensor(type as Tensor.Type, data, dims);
  // Where the runtime has half arrays the tensor shows one, whose length onnxruntime's native part reads as 0; it knows the bits.
  if (type === HALF) Object.defineProperty(tensor, 'data', { value: data });
  return tensor;
}

/** What `ortTensor` makes a tensor of; the memory is the tensor's own. */
export function rawTensor(name: string, { type, dims, data }: Tensor): RawTensor {
  return { name, type, dims, data: type === HALF ? halfBits(data) : (data as RawTensor['data']) };
}

function halfBits(data: Tensor['data']): Uint16Array<ArrayBuffer> {
  const { buffer, byteOffset, length } = data as Uint16Array<ArrayBuffer>;
  return new Uint16Array(buffer, byteOffset, length);
}
