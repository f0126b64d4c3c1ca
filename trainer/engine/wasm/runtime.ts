/** The piece of the WebAssembly JavaScript interface we use; TypeScript types it with the browser's DOM only. */

/** A WebAssembly.Memory, opaque to us: it is handed from the backend to our module. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

interface WasmInterface {
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: WasmMemory } },
  ) => { readonly exports: unknown };
}

export const webAssembly = (globalThis as unknown as { readonly WebAssembly: WasmInterface }).WebAssembly;
