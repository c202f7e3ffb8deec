// SPDX-License-Identifier: MIT
// http: one request to the broker: address, token, deadline, abort, and every failure as a typed error.

import { AbortError, ConnectionError, closedError, refusal, wantsToken } from './errors.js';
import { onAbort } from './wait.js';

// Retry-After: seconds or a date → ms.
function hint(text) {
  if (!text) return undefined;
  const ms = /^\d+$/.test(text) ? text * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? ms : undefined;
}

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

  // A function is asked once, and again when the broker says that its token is no longer good.
  token(anew) {
    if (typeof this.source !== 'function') return this.source;
    if (anew || !this.held) {
      const held = Promise.resolve().then(() => this.source()).catch((err) => {
        throw new ConnectionError('token', `the token function failed: ${err.message}`, { cause: err });
      });
      this.held = held;
      held.catch(() => { if (this.held === held) this.held = null; });
    }
    return this.held;
  }

  url(path, query = []) {
    const text = new URLSearchParams(query.filter(([, v]) => v !== undefined)).toString();
    return this.base + path + (text && `?${text}`);
  }

  // The answer, when it is a success. timeout: ms for the whole answer; with `stream` until its head.
  async call(path, { query, method = 'GET', headers = {}, body, signal, timeout = this.timeout, stream } = {}) {
    for (let anew = false; ; anew = true) {
      try {
        return await this.once(this.url(path, query), { method, headers, body }, { signal, timeout, stream, anew });
      } catch (err) {
        if (anew || typeof this.source !== 'function' || !wantsToken(err)) throw err;
      }
    }
  }

  async once(url, request, { signal, timeout, stream, anew }) {
    const ctl = new AbortController();
    const stops = [signal, this.closed.signal].map((s) => onAbort(s, () => ctl.abort()));
    let late = false;
    const timer = setTimeout(() => { late = true; ctl.abort(); }, timeout);
    try {
      const token = await this.token(anew);
      if (token) request.headers = { ...request.headers, Authorization: `Bearer ${token}` };
      const res = await this.own(url, { cache: 'no-store', ...request, signal: ctl.signal });
      if (!res.ok) throw await this.refused(res);
      if (!stream) return await res.json();
      stops.shift(); // its reader ends it by its signal
      return res;
    } catch (err) {
      if (this.closed.signal.aborted) throw closedError();
      if (signal?.aborted) throw new AbortError(signal.reason);
      if (late) throw new ConnectionError('timeout', `no answer within ${timeout} ms`);
      if (err.code && err.retryable !== undefined) throw err;
      throw new ConnectionError(err instanceof SyntaxError ? 'bad_answer' : 'unreachable', `${this.base}: ${err.message}`, { cause: err });
    } finally {
      clearTimeout(timer);
      stops.forEach((stop) => stop());
    }
  }

  async refused(res) {
    let said;
    try { said = (await res.json()).error; } catch { /* not the broker's words: some proxy's */ }
    const after = hint(res.headers.get('retry-after'));
    return refusal(said ?? { code: 'http', message: `HTTP status ${res.status}` }, res.status, after);
  }

  close() { this.closed.abort(); }
}
