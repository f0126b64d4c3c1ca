/** onnxruntime as the trainer uses it: our tensors in, our tensors out, on the cpu unless asked otherwise. The reference for everything else. */
import ort from 'onnxruntime-node';
import { SppError } from '../../schema/errors.ts';
import { FLUSH_SUBNORMALS } from '../../schema/flush-subnormals.ts';
import type { Dtype, Tensor } from '../graph/graph.ts';
import './subnormals.ts';

interface OrtSessionOptions {
  /** Threads of one run; 1 by default, `computeThreads()` for what runs alone. */
  readonly threads?: number;
  /** false: nodes run as they stand, nothing fused or folded; true by default. */
  readonly optimise?: boolean;
  /** Plan all of a run's memory beforehand, true by default: gradient graphs need half as much without, and no longer. */
  readonly planMemory?: boolean;
  /** What runs the nodes that it has kernels for; the cpu runs the rest. */
  readonly provider?: Provider;
}

export type Provider = 'cpu' | 'cuda' | 'webgpu';
/** A model as sessions take it, also between threads. */
export interface OrtModel {
  /** A whole ONNX file, but for weights that it names in files of a folder. */
  readonly bytes: Uint8Array;
  /** They are mapped from there, and not copied into a form that runs faster. */
  readonly weightsFolder?: string;
}

export interface OrtSession {
  /** Names of the graph's outputs, in its order. */
  readonly outputs: readonly string[];
  /** Their element types, of those that Tensor knows. */
  readonly outputTypes: readonly (readonly [output: string, type: Dtype])[];
  /**
   * @param outputs what to compute; all outputs where absent. Outputs of element types that Tensor does not know are left out
   * @param into by output, memory that the result is written to, of just its size
   * @throws `bad-model` when onnxruntime refuses the feeds or a node fails
   */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: readonly string[],
    into?: Readonly<Record<string, Tensor>>,
  ): Promise<Record<string, Tensor>>;
  /** Frees native memory; the session cannot run afterwards. */
  close(): Promise<void>;
}

/** Failures come as exceptions with the same words; sizes that a model refuses are tried on purpose. */
const FATAL_SEVERITY = 4;

const dtypes: Readonly<Partial<Record<ort.Tensor.Type, Dtype>>> = {
  float32: 'float32',
  float64: 'float64',
  int64: 'int64',
  int32: 'int32',
  uint8: 'uint8',
  bool: 'bool',
};

/**
 * @param model a whole ONNX file, or one with weights in a folder
 * @throws `bad-model` when onnxruntime cannot load it
 */
export async function createOrtSession(
  given: Uint8Array | OrtModel,
  { threads = 1, optimise = true, planMemory = true, provider = 'cpu' }: OrtSessionOptions = {},
): Promise<OrtSession> {
  const model: OrtModel = given instanceof Uint8Array ? { bytes: given } : given;
  const isMapped = model.weightsFolder !== undefined;
  const mapped = isMapped && {
    model_external_initializers_file_folder_path: model.weightsFolder,
    disable_prepacking: '1',
  };
  // Weights that gradients read turned round would be held a second time.
  const unfolded = isMapped && { optimization: { disable_specified_optimizers: 'ConstantFolding' } };
  const session = await ort.InferenceSession.create(model.bytes, {
    executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    enableMemPattern: planMemory,
    graphOptimizationLevel: optimise ? 'all' : 'disabled',
    logSeverityLevel: FATAL_SEVERITY,
    // Spinning threads of several sessions take the cores from each other.
    extra: {
      session: { intra_op: { allow_spinning: '0' }, ...FLUSH_SUBNORMALS, ...mapped },
      ...unfolded,
    },
  }).catch((cause: unknown) => {
    if (provider === 'cpu') throw refused('onnxruntime cannot load the model', cause);
    throw new SppError(
      'backend-unavailable',
      `onnxruntime does not start on ${provider}: ${(cause as Error).message}`,
      {
        hint: 'Check the driver, or choose another with --backend.',
        cause,
      },
    );
  });
  return {
    outputs: session.outputNames,
    outputTypes: session.outputMetadata.flatMap((output) => {
      const dtype = output.isTensor ? dtypes[output.type] : undefined;
      return dtype === undefined ? [] : [[output.name, dtype] as const];
    }),
    async run(feeds, outputs, into = {}) {
      const values = Object.entries(feeds).map(([name, tensor]) => [name, toOrt(tensor)] as const);
      const result = await session
        .run(
          Object.fromEntries(values),
          Object.fromEntries((outputs ?? session.outputNames).map((name) => [name, memoryOf(into[name])])),
        )
        .catch((cause: unknown) => {
          throw refused('onnxruntime cannot run the model', cause);
        });
      return Object.fromEntries(
        Object.entries(result).flatMap(([name, value]) => {
          const given = into[name];
          if (given !== undefined) discard(value);
          const tensor = given ?? fromOrt(value);
          return tensor === undefined ? [] : [[name, tensor]];
        }),
      );
    },
    close: () => session.release(),
  };
}

/** null: onnxruntime takes memory of its own. */
function memoryOf(tensor: Tensor | undefined): ort.Tensor | null {
  return tensor === undefined ? null : toOrt(tensor);
}

/** onnxruntime hands a copy of what it wrote elsewhere: memory that would stay until the next collection, and be asked of the system anew. */
function discard({ data }: ort.Tensor): void {
  if (ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer) data.buffer.transfer(0);
}

function toOrt({ dtype, data, dims }: Tensor): ort.Tensor {
  return new ort.Tensor(dtype as 'float32', data as Float32Array, dims);
}

function fromOrt(value: ort.Tensor): Tensor | undefined {
  const dtype = dtypes[value.type];
  return dtype === undefined
    ? undefined
    : { dtype, dims: [...value.dims], data: value.data as Tensor['data'] };
}

function refused(what: string, cause: unknown): SppError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new SppError('bad-model', `${what}: ${message.trim()}`, {
    hint: 'Check that the file runs in onnxruntime by itself, with inputs of these shapes.',
    cause,
  });
}
