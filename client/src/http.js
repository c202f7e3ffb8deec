// SPDX-License-Identifier: MIT
// http: one request to the broker: address, token, deadline, abort, and every failure as a typed error.

import { AbortError, ConnectionError, HoldfastError, closedError, refusal, wantsToken } from './errors.js';
import { onAbort } from './wait.js';

// Retry-After: seconds or a date → ms.
const hint = (text) => (isNaN(text) ? Date.parse(text) - Date.now() : text * 1000) || 0;

export class Http {
  constructor(url, { token, fetch: own, healthTimeout }) {
    const u = new URL(url, globalThis.location?.href);
    u.protocol = u.protocol.replace('ws', 'http');
    this.base = u.origin + u.pathname.replace(/\/$/, '');
    this.origin = u.origin;
    this.own = own ?? ((...args) => globalThis.fetch(...args));
    this.source = token;
    this.timeout = Math.max(healthTimeout, 10000);
    this.closed = new AbortController();
  }

  // A function is asked once, and again when the broker says that its token is no longer good, or when it failed.
  async token(anew) {
    if (typeof this.source !== 'function') return this.source;
    if (anew) this.held = null;
    try {
      return await (this.held ??= this.source());
    } catch (cause) {
      this.held = null;
      throw new ConnectionError('token', `no token: ${cause.message}`, { cause });
    }
  }

  url(path, query = []) {
    const text = new URLSearchParams(query.filter(([, v]) => v !== undefined)).toString();
    return this.base + path + (text && `?${text}`);
  }

  // The answer, when it is a success. timeout: ms for the whole answer; with `stream` until its head.
  async call(path, how = {}, anew) {
    try {
      return await this.once(path, how, anew);
    } catch (err) {
      if (anew || !wantsToken(err) || typeof this.source !== 'function') throw err;
      return this.call(path, how, true);
    }
  }

  async once(path, { query, signal, timeout = this.timeout, stream, headers, ...request }, anew) {
    const ctl = new AbortController();
    const stops = [signal, this.closed.signal].map((s) => onAbort(s, () => ctl.abort()));
    let late = false;
    const timer = setTimeout(() => { late = true; ctl.abort(); }, timeout);
    try {
      const token = await this.token(anew);
      const res = await this.own(this.url(path, query), {
        cache: 'no-store', headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) }, ...request, signal: ctl.signal,
      });
      if (!res.ok) throw await this.refused(res);
      if (!stream) return await res.json();
      stops.shift(); // its reader ends it by its signal
      return res;
    } catch (err) {
      if (this.closed.signal.aborted) throw closedError();
      if (signal?.aborted) throw new AbortError(signal.reason);
      if (late) throw new ConnectionError('timeout', `no answer within ${timeout} ms`);
      if (err instanceof HoldfastError) throw err;
      throw new ConnectionError(err instanceof SyntaxError ? 'bad_answer' : 'unreachable', `${this.base}: ${err.message}`, { cause: err });
    } finally {
      clearTimeout(timer);
      stops.forEach((stop) => stop());
    }
  }

  async refused(res) {
    const { error } = await res.json().catch(() => ({})); // or not the broker's words: some proxy's
    return refusal(error ?? { message: `HTTP status ${res.status}` }, res.status, hint(res.headers.get('retry-after')));
  }

  close() { this.closed.abort(); }
}
