// SPDX-License-Identifier: MIT
// link: one connection to the broker over one transport, for its line.
//
// It is `trusted` once it has carried a round trip after it was opened and its first event came in time: what opens and
// then stays silent (a buffering proxy) is given up after `healthTimeout`. It is `ended` once, with why:
// {error, delay, final}. What it brings goes to the line at once, trusted or not: what is there twice is dropped there.

import { ConnectionError, HoldfastError, RefusedError } from '../errors.js';
import { deferred } from '../wait.js';

export class Link {
  constructor(line, name, { channels, since }) {
    Object.assign(this, { line, client: line.client, name });
    this.channels = new Set(channels);
    this.since = this.mark = since; // mark: the last id seen here; resuming from it, nothing is lost
    this.heartbeat = 25000;
    this.ctl = new AbortController();
    this.proof = deferred();
    this.end = deferred();
    this.trusted = this.proof.promise;
    this.ended = this.end.promise;
    this.began = this.heardAt = Date.now();
    const ms = this.client.options.healthTimeout;
    this.timer = setTimeout(() => this.fail(new ConnectionError('unproven', `${name} did not prove itself within ${ms} ms`)), ms);
  }

  prove() {
    if (this.over || this.proven) return;
    clearTimeout(this.timer);
    this.proven = Date.now();
    this.watch();
    this.proof.resolve(this);
  }

  fail(error, more) {
    if (!(error instanceof HoldfastError)) error = new ConnectionError('closed', `${this.name}: ${error.message}`, { cause: error });
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
    this.proof.reject(why.error ?? new ConnectionError('closed', `${this.name} was closed`));
    this.end.resolve(why);
  }

  // Streams carry something at least every heartbeat. A link that sleeps with its machine finds that out when it wakes.
  watch() {
    clearInterval(this.dog);
    this.dog = setInterval(() => this.verify(), this.heartbeat / 2);
  }

  verify() {
    const limit = 1.5 * this.heartbeat + this.client.options.healthTimeout;
    if (Date.now() - this.heardAt > limit) this.fail(new ConnectionError('silent', `nothing came over ${this.name} for ${limit} ms`));
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
      if (this.proven) this.watch();
      this.hello?.(w);
      break;
    case 'goodbye': {
      const text = `the broker said goodbye: ${w.reason}`;
      if (w.reconnect) this.fail(new ConnectionError(w.reason, text), { delay: w.delay_ms ?? 0 });
      else this.fail(new RefusedError(w.reason, text), { final: true });
      break;
    }
    default: this.other?.(w);
    }
  }
}
