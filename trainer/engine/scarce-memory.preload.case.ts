/** To be imported before all else: in worker threads, the first `FAILING_RUNS` runs of onnxruntime fail as they do where memory is short. */
import { isMainThread } from 'node:worker_threads';
import ort from 'onnxruntime-node';

const words = [
  'Non-zero status code returned while running MatMul node. Failed to allocate memory for requested buffer of size 8589934592',
  'std::bad_alloc',
];
let left = isMainThread ? 0 : Number(process.env.FAILING_RUNS ?? 0);
const create = ort.InferenceSession.create.bind(ort.InferenceSession) as (
  ...given: unknown[]
) => Promise<ort.InferenceSession>;

const failing = async (...given: unknown[]) => {
  const session = await create(...given);
  const run = session.run.bind(session) as (...given: unknown[]) => Promise<ort.InferenceSession.ReturnType>;
  const scarce = async (...asked: unknown[]) => {
    if (left > 0) {
      left -= 1;
      throw new Error(words[left % words.length]);
    }
    return run(...asked);
  };
  return Object.assign(session, { run: scarce });
};
Object.assign(ort.InferenceSession, { create: failing });
