// SPDX-License-Identifier: MIT
// poll: long polling (the broker answers when there is something) and short polling (it answers at once, we come back).
// Proven by the first answer. A path that cuts long waits gets shorter ones, at last none: then short polling is next.
// After a failure, and when the page wakes up, one that does not wait comes first: a browser may hold several connections that
// are dead without its knowledge, and each of them costs one time-out.
//
// A durable subscriber asks by its name only for channels that it has no place in yet, because there a cursor would
// acknowledge (docs/protocol.md, Durable subscribers); what the application acknowledges goes its own way.

import { earlier } from '../ids.js';
import { inOrder } from '../message.js';
import { Backoff } from '../wait.js';
import { Link } from './link.js';

const WAIT = 25; // seconds
const FAILURES = 3;
const REASK_MS = 1000; // younger requests are left alone

export class PollLink extends Link {
  constructor(line, want, name) {
    super(line, name, want);
    this.backoff = new Backoff(line.client);
    this.longest = Math.min(WAIT, this.client.info?.limits.poll_wait ?? WAIT);
    this.wait = name === 'longpoll' ? this.longest : 0;
    this.placed = new Set();
    this.turn = 0;
    this.run().catch((err) => this.fail(err));
  }

  shut() { this.poke(); }

  // The channels have changed.
  poke() {
    this.waiting?.abort();
    this.backoff.wake();
  }

  join(channels, since) {
    this.mark = earlier(this.mark, since);
    channels.forEach((c) => this.channels.add(c));
    this.turn++; // an answer that is on its way is not for them
    this.poke();
  }

  leave() { this.poke(); }

  // Nothing comes between answers, so there is nothing to watch. What was asked before the network changed, or before the page slept, is
  // asked again.
  watch() {}
  verify() {
    if (Date.now() - this.askedAt <= REASK_MS) return;
    this.unsure = true;
    this.poke();
  }

  async run() {
    for (let failures = 0, cuts = 0; !this.over;) {
      const began = this.askedAt = Date.now();
      const { turn, unsure } = this;
      let reply;
      try {
        reply = await this.inquire();
        this.unsure = false;
        if (!unsure) {
          failures = cuts = 0;
          this.wait = this.wait && Math.min(this.longest, this.wait * 1.1);
        }
      } catch (err) {
        if (this.over) return;
        if (err.code === 'aborted') continue;
        if (!this.proven || !err.retryable || !this.wait) throw err;
        if (!unsure && Date.now() - began > 500) { // cut while it waited
          cuts++;
          this.wait = Math.max(2, this.wait / 2);
        }
        if (++failures === FAILURES) {
          this.fail(err, { avoid: cuts === FAILURES });
          return;
        }
        this.unsure = true;
        continue;
      }
      if (this.over) return;
      if (turn !== this.turn) continue;
      this.deliver(reply);
      const some = reply.messages.length || reply.events;
      const took = Date.now() - began;
      const first = !this.proven;
      this.prove();
      if (reply.more || first || unsure) continue;
      if (!this.wait) await this.backoff.pause(some ? 1000 : 3000);
      else if (!some && took < 1000) await this.backoff.pause(1000); // somebody on the way does not let it wait
    }
  }

  async inquire() {
    const { client, line } = this;
    const unplaced = line.subscriber ? [...this.channels].filter((c) => !this.placed.has(c)) : [];
    const channels = unplaced.length ? unplaced : [...this.channels];
    const sure = this.proven && !this.unsure;
    const wait = sure && !unplaced.length ? this.wait : 0;
    const start = unplaced.length ? { subscriber: line.subscriber, since: this.since } : { since: this.mark };
    this.waiting = new AbortController();
    const reply = await client.poll(channels, { ...start, wait: wait || undefined }, {
      signal: this.waiting.signal, timeout: sure ? wait * 1000 + client.http.timeout : client.options.healthTimeout,
    });
    unplaced.forEach((c) => this.placed.add(c));
    return { ...reply, partial: unplaced.length > 0 };
  }

  deliver({ cursor, gaps, messages, events = [], partial }) {
    const before = this.mark;
    for (const w of inOrder(gaps, messages)) this.take(w);
    events.forEach((w) => this.take(w));
    this.mark = partial ? earlier(before, cursor) : cursor;
  }
}
