import type { Upload } from './upload.ts';

/** A small body of one row that has come whole and can be sent again, but for what is said. */
export function smallUpload(over: Partial<Upload> = {}): Upload {
  return {
    bytes: 2,
    first: { name: 'x', shape: [1] },
    batch: 1,
    contentType: 'application/json',
    headerLength: null,
    repeatable: true,
    arrived: () => true,
    onArrived: () => {},
    body: () => '{}',
    ...over,
  };
}
