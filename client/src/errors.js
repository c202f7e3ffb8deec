// SPDX-License-Identifier: MIT
// errors: everything that can be refused or go wrong, by type and by code.

// more: status, retryable, retryAfter (ms, as the server asked), detail (the broker's error object: `expected`, `head` …), cause.
export class HoldfastError extends Error {
  constructor(code, message, more) {
    super(message);
    Object.assign(this, { code, retryable: false }, more);
  }
}

export class ConnectionError extends HoldfastError {
  constructor(code, message, more) { super(code, message, { retryable: true, ...more }); }
}

export class RefusedError extends HoldfastError {}
export class OutboxFullError extends HoldfastError {}

export class AbortError extends HoldfastError {
  constructor(cause) { super('aborted', 'aborted by its signal', { cause }); }
}

// A minifier renames classes; the names that people read stay.
for (const [name, type] of Object.entries({ HoldfastError, ConnectionError, RefusedError, OutboxFullError, AbortError })) type.prototype.name = name;

export const closedError = () => new HoldfastError('closed', 'the client is closed');

// The token is no longer good, or was never there: a new one may help.
export const wantsToken = ({ status, code }) => status === 401 || /token|^unauthorized$/.test(code);

// From {"code","message"} of an HTTP answer or an error frame.
export function refusal({ code = 'http', message, ...detail }, status, retryAfter) {
  const retryable = /^(408|425|429|5|store_unavailable|overloaded|draining|too_many_requests|request_timeout|internal)/.test(status ?? code) && !/^50[15]/.test(status);
  return new RefusedError(code, message, { status, retryable, retryAfter, detail });
}
