// SPDX-License-Identifier: MIT
// errors: everything that can be refused or go wrong, by type and by code.

export class HoldfastError extends Error {
  constructor(code, message, { status, retryable = false, retryAfter, cause, detail } = {}) {
    super(message);
    this.name = this.constructor.title;
    this.code = code;
    this.status = status;
    this.retryable = retryable;
    this.retryAfter = retryAfter; // ms, as the server asked
    this.detail = detail; // the broker's error object: `expected`, `head` …
    if (cause) this.cause = cause;
  }
}

// A minifier renames classes; names that people read stay.
const named = (title, type) => Object.assign(type, { title });
named('HoldfastError', HoldfastError);

export const ConnectionError = named('ConnectionError', class extends HoldfastError {
  constructor(code, message, more) { super(code, message, { retryable: true, ...more }); }
});
export const RefusedError = named('RefusedError', class extends HoldfastError {});
export const OutboxFullError = named('OutboxFullError', class extends HoldfastError {});
export const AbortError = named('AbortError', class extends HoldfastError {
  constructor(reason) { super('aborted', 'aborted by its signal', { cause: reason }); }
});

export const closedError = () => new HoldfastError('closed', 'the client is closed');

// These say that the token is no longer good (or was never there): a new one may help.
const TOKEN_CODES = ['unauthorized', 'token_expired', 'token_invalid', 'token_required', 'bad_token'];

export const wantsToken = (err) => err.status === 401 || TOKEN_CODES.includes(err.code);

const RETRY_STATUS = [408, 425, 429];
const RETRY_CODES = ['store_unavailable', 'overloaded', 'draining', 'too_many_requests', 'request_timeout', 'internal'];

// From {"code","message"} of an HTTP answer or an error frame.
export function refusal({ code = 'http', message = 'refused', ...detail } = {}, status, retryAfter) {
  const retryable = status ? status >= 500 && status !== 501 && status !== 505 || RETRY_STATUS.includes(status) : RETRY_CODES.includes(code);
  return new RefusedError(code, message, { status, retryable, retryAfter, detail });
}
