/** Parts that the small models of tests are written of. */

/** A graph's input or output. @param elemType ONNX's number of the type @param dims names are free dimensions */
export function valueInfo(name: string, elemType: number, dims: readonly (string | number)[]) {
  const dim = dims.map((each) => ({
    value:
      typeof each === 'string'
        ? { case: 'dimParam' as const, value: each }
        : { case: 'dimValue' as const, value: BigInt(each) },
  }));
  return { name, type: { value: { case: 'tensorType' as const, value: { elemType, shape: { dim } } } } };
}

/** Weights that differ from one to the next, and are the same in each run. */
export function wave(length: number, step: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, (_, i) => Math.sin(1 + step * i));
}
