/** Whether an execution provider of onnxruntime works on this machine: its libraries may be there and no device, or no driver. */
import type { Graph, ValueInfo } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { createOrtSession, type Provider } from './ort-session.ts';

/** @throws `backend-unavailable` with onnxruntime's reason when no session starts on it */
export async function assertStarts(provider: Provider): Promise<void> {
  const session = await createOrtSession(writeOnnx(least()), { provider });
  await session.close();
}

function least(): Graph {
  const value = (name: string): ValueInfo => ({ name, dtype: 'float32', dims: [1] });
  return {
    name: 'least',
    irVersion: 8,
    opsets: { '': 17 },
    nodes: [{ name: 'n', opType: 'Identity', domain: '', inputs: ['x'], outputs: ['y'], attributes: {} }],
    inputs: [value('x')],
    outputs: [value('y')],
    initializers: new Map(),
  };
}
