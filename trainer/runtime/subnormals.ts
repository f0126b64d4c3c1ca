/** Imported for its effect by whatever makes sessions or threads that make them: the main thread's setting is theirs, if it comes first. */
import { isMainThread } from 'node:worker_threads';
import ort from 'onnxruntime-node';
import { flushSubnormals } from '../../schema/flush-subnormals.ts';

if (isMainThread) await flushSubnormals((model, options) => ort.InferenceSession.create(model, options));
