// SPDX-License-Identifier: MIT
// link: one connection to the broker over one transport, for its line.
//
// It is `trusted` once it has carried a round trip after it was opened and its first event came in time: what opens and
// then stays silent (a buffering proxy) is given up after `healthTimeout`. It is `ended` once, with why:
// {error, delay, final, avoid}. What it brings goes to the line at once, trusted or not: what is there twice is dropped there.

import { ConnectionError, HoldfastError, RefusedError, closedError } from '../errors.js';
import { deferred } from '../wait.js';

export class Link {
  constructor(line, name, { channels, since }) {
    Object.assign(this, { line, client: line.client, name });
    this.channels = new Set(channels);
    this.since = this.mark = since; // mark: the last id seen here; resuming from it, nothing is lost
    this.heartbeat = 25000;
    this.ctl = new AbortController();
    this.asked = new Map();
    this.proof = deferred();
    this.end = deferred();
    this.trusted = this.proof.promise;
    this.ended = this.end.promise;
    this.began = this.heardAt = Date.now();
    const ms = this.client.options.healthTimeout;
    this.timer = setTimeout(() => this.fail(new ConnectionError('unproven', `${name}: no proof within ${ms} ms`)), ms);
  }

  prove() {
    if (this.over || this.proven) return;
    clearTimeout(this.timer);
    this.proven = Date.now();
    this.watch();
    this.proof.resolve(this);
  }

  fail(error, more) {
    if (!(error instanceof HoldfastError)) error = new ConnectionError('closed', `${this.name}: ${error.message}`, { cause: error, retryAfter: this.retryAfter });
    this.stop({ error, ...more });
  }

  close() { this.stop({ closed: true }); }

  stop(why) {
    if (this.over) return;
    this.over = why;
    clearTimeout(this.timer);
    clearInterval(this.dog);
    this.ctl.abort();
    this.shut?.(why);
    for (const ref of this.asked.keys()) this.answer(ref, new ConnectionError('closed', 'no answer'));
    this.proof.reject(why.error ?? new ConnectionError('closed', 'no answer'));
    this.end.resolve(why);
  }

  // Streams carry something at least every heartbeat. A link that sleeps with its machine finds that out when it wakes.
  watch() { this.dog = setInterval(() => this.verify(), this.heartbeat / 2); }

  // Ask with a number, by which the answer is known. send(ref)
  question(send) {
    const d = deferred();
    const ref = this.refs = (this.refs ?? 0) + 1;
    d.timer = setTimeout(() => this.answer(ref, new ConnectionError('timeout', 'no answer')), this.client.http.timeout);
    this.asked.set(ref, d);
    if (this.over) this.answer(ref, this.over.error ?? closedError());
    else send(ref);
    return d.promise;
  }

  answer(ref, err, value) {
    const d = this.asked.get(ref);
    clearTimeout(d?.timer);
    this.asked.delete(ref);
    if (err) d?.reject(err);
    else d?.resolve(value);
    return d;
  }

  verify() {
    const limit = 1.5 * this.heartbeat + this.client.options.healthTimeout;
    if (Date.now() - this.heardAt > limit) this.fail(new ConnectionError('silent', `${this.name}: silent for ${limit} ms`));
  }

  take(w) {
    if (this.over) return;
    this.heardAt = Date.now();
    switch (w.type) {
    case 'message': this.line.message(this, w); break;
    case 'gap': this.line.gap(this, w); break;
    case 'presence': case 'join': case 'leave': this.line.presence(w); break;
    case 'hello':
      this.client.greeted(w);
      if (w.heartbeat) this.heartbeat = w.heartbeat * 1000;
      this.hello?.(w);
      break;
    case 'goodbye': {
      const Type = w.reconnect ? ConnectionError : RefusedError;
      this.fail(new Type(w.reason, `goodbye: ${w.reason}`), { delay: w.delay_ms, final: !w.reconnect });
      break;
    }
    default: this.other?.(w);
    }
  }
}
