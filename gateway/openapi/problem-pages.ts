/** What each problem means and what to do about it, for the page at its URL. */
import type { ProblemCode } from '../../schema/errors.ts';

export const meanings = {
  'bad-request':
    'The request is not one that this address takes. `detail` names what is wrong, `errors` the path of each fault.',
  'bad-header':
    'A header has a value that is not understood. It is named in `header`; nothing that was sent is ever ignored.',
  'bad-json': 'The body is not UTF-8, or not JSON.',
  'bad-shape': 'A tensor has another shape than the model takes. GET /v2/models/{model} tells the shapes.',
  'bad-datatype': 'A tensor has another datatype than the model takes, or elements that do not fit it.',
  'bad-policy':
    'The policy is not valid, names what is not there, or can match nothing. `errors` has a path for each fault.',
  unauthorized:
    'No credentials, or none that are good here. Which part was wrong is not told. Send Authorization: Bearer.',
  forbidden: 'The credentials are good, but their role, class or key does not allow this.',
  'not-found': 'Nothing is at this address, or nothing that these credentials may see.',
  'unknown-model': 'There is no such model for this key.',
  'unknown-level': 'The model has no such level. Levels count from 0, the sparsest, to the dense one.',
  'unknown-artifact': 'There is no such artifact, or no such file of it.',
  'method-not-allowed': 'The address is right, the method is not; the Allow header lists those it takes.',
  conflict: 'What is there differs from what was sent, or someone changed it at the same moment.',
  'in-use': 'What was to be deleted is in use. `detail` says what for, `heldBy` what holds it.',
  'etag-mismatch':
    'The resource has changed since it was read. Read it again, look at what changed, and send the new ETag as If-Match.',
  'precondition-required':
    'The change needs If-Match, so that it cannot undo what was not seen. Send the ETag of what was read.',
  'body-too-large': 'The body is over the limit. Send less at once.',
  'headers-too-large': 'The headers are over the limit. Send fewer or shorter ones.',
  'request-timeout':
    'The request was not whole in the time that a connection may take for it. Send it faster, or less at once.',
  'range-not-satisfiable': 'The range begins beyond the end of the file.',
  'expectation-failed':
    'The request holds its body back until it is told to go on (`Expect: 100-continue`), which this gateway cannot say: its latency budget would run out before. Send it without that header, as curl then does by itself.',
  'unsupported-media-type': 'The Content-Type or Content-Encoding is not one that this address takes.',
  'unsupported-transfer-coding':
    'The body was coded on its way in more than chunks (`Transfer-Encoding`). Send it in chunks or with its length; `Content-Encoding` may compress it.',
  'budget-infeasible':
    'No level that the policy and the request allow is predicted to fit the latency budget, and the policy refuses such requests. Nothing was sent to a node. `predictedMs` is what it would take, `budgetLeftMs` what was left of the budget when that was known.',
  'cost-infeasible':
    'No level that is allowed costs as little as the cost budget. Nothing was sent to a node. `costNanoUsd` is the least it would cost.',
  'cost-exhausted':
    'What the key may spend in this period is spent or set aside. Retry-After tells when more may be there.',
  'rate-limited': 'The key sent more requests than it may. Retry-After tells when the next window begins.',
  'queue-full': 'More requests wait than the node takes. Try again after Retry-After.',
  overloaded:
    'The fleet has more work than the policy lets this class add to. Try again after Retry-After, or in a higher class.',
  'deadline-hopeless': 'The node cannot be done by the deadline, because of what waits before it.',
  'no-node': 'No inference node can take the request now. Try again after Retry-After.',
  'level-unavailable': 'The level cannot be served now; others may.',
  draining: 'The node finishes what it has and takes nothing new. Another one will take the request.',
  'not-ready': 'Something that is needed is not there yet, or cannot be read at the moment.',
  'budget-overrun':
    'The latency budget ran out while the request was at work; the work was stopped. The answer, had it come, would have been late.',
  'upstream-failed':
    'The inference node answered with an error of its own. Operators find the cause in its log.',
  internal: 'Something went wrong that was not foreseen. Operators find it in the log under X-Request-Id.',
  'bad-artifact': 'The artifact is damaged, incomplete, or not one.',
  'upload-incomplete':
    'The manifest names files that are not there or differ. Send them, then the manifest again.',
  usage: 'A command line is wrong.',
  'bad-model': 'The model file cannot be used.',
  'unsupported-op': 'The graph has an operator that is not supported.',
  'no-pairs': 'The graph has no pair of linear maps that could be pruned.',
  'bad-data': 'The data cannot be used.',
  'bad-checkpoint': 'The checkpoint belongs to another run.',
  'not-written': 'A disk takes no more, or not here.',
  'numerical-failure': 'A computation left the finite numbers.',
  interrupted: 'The run was interrupted; it goes on where it was when started again.',
  'backend-unavailable': 'The compute backend that was asked for is not available here.',
} as const satisfies Record<ProblemCode, string>;
