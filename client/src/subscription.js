// SPDX-License-Identifier: MIT
// subscription: one subscriber's place in its channel, whatever carries the messages.
//
// `head` is the id up to which everything was handed over. A message is taken when it is later than head (else it is a
// repetition, as overlapping connections give them) and its prev is not (else something between is missing). Who is
// `behind` asks for pages after head by plain polls until it has what it saw passing by: so it starts from a place in
// the past, mends a hole, and comes back when its reader was too slow. Until then what the line brings is only noted (`want`).
//
// A pattern (docs/protocol.md, Patterns) has a chain per channel: what was taken of each of the channels that were
// heard of last (`heads`), and for all others `origin`, up to which everything was.
//
//   fresh ─ begins at a cursor, or catches up ─▶ in step ⇄ behind        any ─▶ closed

import { AbortError, HoldfastError, closedError } from './errors.js';
import { beginOf, isLater, sameEpoch } from './ids.js';
import { fromWire, inOrder } from './message.js';
import { Backoff, deferred, guarded, onAbort } from './wait.js';

const HEADS = 1000;

export class Subscription {
  constructor(client, line, channel, options, onMessage) {
    Object.assign(this, { client, line, channel, options, onMessage });
    this.fresh = true;
    const { since, last } = options;
    this.start = (since ?? last) === undefined ? null : { since, last };
    this.began = deferred();
    this.retry = new Backoff(client);
    if (channel.endsWith('*')) this.heads = new Map();
    if (options.persist) this.remembered(options.persist);
    this.unabort = onAbort(options.signal, () => this.close(new AbortError(options.signal.reason)));
  }

  get ready() { return this.began.promise; }
  get cursor() { return this.head; }

  // A place that the application names (other than "all") is where its page stands, so it wins.
  remembered(name) {
    this.key = `holdfast:${name === true ? `${this.client.http.base} ${this.channel} ${this.options.subscriber ?? ''}` : name}`;
    const { since } = this.options;
    try {
      const kept = (!since || since === '0') && sessionStorage.getItem(this.key);
      if (kept) this.start = { since: kept };
    } catch { /* there is none, or it is forbidden */ }
  }

  moveTo(id) {
    if (!id || id === this.head) return;
    this.head = id;
    try { if (this.key) sessionStorage.setItem(this.key, id); } catch { /* then only this page knows */ }
  }

  covers(channel) { return channel === this.channel || (this.heads && channel.startsWith(this.channel.slice(0, -1))); }

  // Everything up to here was handed over, or is not for us.
  settle(id) {
    this.moveTo(this.head && isLater(this.head, id) ? this.head : id);
    this.origin = this.head;
  }

  // The place in one channel.
  known(channel) {
    const own = this.heads?.get(channel);
    return own && !isLater(this.origin ?? own, own) ? own : this.heads ? this.origin : this.head;
  }

  passed(channel, id) {
    if (!this.heads) this.moveTo(id);
    else {
      this.heads.delete(channel);
      this.heads.set(channel, id);
      if (this.heads.size > HEADS) { // the channel that was silent longest is no longer told from others
        this.heads.delete(this.heads.keys().next().value);
        this.origin = this.head;
      }
    }
  }

  begin(cursor) {
    if (cursor) this.settle(cursor);
    if (!this.fresh || this.closed) return;
    this.fresh = false;
    this.start = null;
    this.began.resolve();
  }

  // A message of the line. False: it was not taken now.
  take(m) {
    if (this.closed) return;
    const away = this.fresh || this.behind || this.full || this.lagging;
    if (!m.id) {
      if (!away) this.hand(m);
    } else if (away) {
      this.lagging ||= this.full;
      if (!m.redelivered) this.note(m.id);
    } else if (m.redelivered) {
      this.hand(m); // asked for by not acknowledging it
    } else if (!this.accept(m)) {
      this.note(m.id);
      if (this.heads) this.moveTo(this.known(m.channel)); // the hole is behind us
      this.catchUp().catch((err) => this.client.failed(err));
    }
  }

  note(id) { this.want = this.want && sameEpoch(this.want, id) && isLater(this.want, id) ? this.want : id; }

  // False: something before it is missing.
  accept(m) {
    const known = this.known(m.channel);
    if (known) {
      if (!isLater(m.id, known)) return sameEpoch(m.id, known); // passed; or another log, and nobody told of it
      if (m.prev && isLater(m.prev, known) && !(this.excused && !isLater(m.prev, this.excused))) return false;
    }
    this.passed(m.channel, m.id);
    if (this.heads && !(this.head && isLater(this.head, m.id))) this.moveTo(m.id);
    this.hand(m);
    return true;
  }

  hand(m) {
    if (this.sink) this.sink(m);
    else guarded(this.onMessage, m, this);
  }

  // A gap that the server tells. Told twice, or of what we have passed already, it is none.
  gap(g) {
    if (this.closed || this.fresh) return;
    if (this.behind && !this.paging) return; // the page that we ask for tells it too
    const known = this.known(g.channel);
    if (g.to && known && sameEpoch(g.to, known) && !isLater(g.to, known)) return;
    if (this.heads && g.to && g.reason !== 'skipped') {
      if (g.channel === this.channel) this.excused = g.to; // any of its channels may lack something
      else this.passed(g.channel, g.to);
      this.tell(g);
      return;
    }
    const now = g.to ?? g.oldest ?? this.client.top;
    if (!g.to && g.reason === 'epoch' && this.head && now && sameEpoch(now, this.head)) return;
    // What is there still, comes from the beginning of the log as it is now.
    this.moveTo(g.to ?? (now && beginOf(now)));
    this.origin = this.head;
    this.tell(g);
  }

  tell(g) {
    const { type, ...gap } = g;
    if (this.relay) {
      this.relay(g);
      return;
    }
    guarded(this.options.onGap, gap);
    this.client.emit('gap', gap);
  }

  // Pages after head, until we are in step with the line. Throws what the broker, or its absence, answers; the place is kept.
  async catchUp() {
    if (this.behind) return;
    this.behind = true;
    this.retry.reset();
    try {
      while (!this.closed && !(await this.page()));
      this.want = undefined;
    } finally {
      this.behind = this.paging = false;
    }
  }

  // One page. True: nothing more is to be had, or the reader has enough.
  async page() {
    let reply;
    const place = this.head ? { since: this.head } : this.start;
    try {
      reply = await this.client.poll([this.channel], place ?? {});
      this.retry.reset();
    } catch (err) {
      if (this.fresh || !err.retryable || this.closed) throw err;
      await this.retry.after(err);
      return false;
    }
    if (this.closed) return true;
    if (this.fresh) this.begin(); // from here on gaps and messages are ours
    this.paging = true;
    const whole = this.turn(reply);
    this.paging = false;
    if (whole) this.settle(reply.cursor);
    if (this.full) {
      this.lagging = true;
      return true;
    }
    if (!whole || reply.more) return false;
    if (!this.want || !isLater(this.want, this.head)) return true;
    await this.retry.after(); // seen live, and not there yet: ask again
    return false;
  }

  // Hand over a page. False: stopped in the middle.
  turn({ gaps, messages }) {
    for (const w of inOrder(gaps, messages)) {
      if (this.full) return false;
      if (w.type === 'gap') {
        this.gap(w);
        continue;
      }
      const m = fromWire(w);
      if (this.accept(m)) continue;
      if (this.broken !== m.id) {
        this.broken = m.id; // once more, perhaps it was lost on the way
        return false;
      }
      this.tell({ type: 'gap', channel: m.channel, from: this.known(m.channel), to: m.prev, reason: 'lost' });
      this.passed(m.channel, m.prev ?? beginOf(m.id));
      this.accept(m);
    }
    return true;
  }

  // The reader has room again.
  resume() {
    this.full = false;
    if (!this.lagging || this.behind) return;
    this.lagging = false;
    this.catchUp().catch((err) => this.client.failed(err));
  }

  report(err) {
    if (this.options.onError) guarded(this.options.onError, err);
    else this.client.failed(err);
  }

  fail(err) {
    this.report(err);
    this.close(err);
  }

  // Cumulative: everything up to and including this message. Acknowledgements that wait for one on its way become one.
  ack(message) {
    const id = typeof message === 'string' ? message : message?.id;
    if (!this.options.subscriber) return Promise.reject(new HoldfastError('not_durable', 'no `subscriber`'));
    if (!id) return Promise.reject(new HoldfastError('no_id', 'a message without id'));
    if (this.closed) return Promise.reject(closedError());
    this.acking ??= { ...deferred(), id };
    if (isLater(id, this.acking.id)) this.acking.id = id;
    const { promise } = this.acking;
    this.sendAcks();
    return promise;
  }

  async sendAcks() {
    if (this.ackBusy) return;
    this.ackBusy = new Backoff(this.client);
    for (let job; (job = this.acking); ) {
      this.acking = null;
      const body = JSON.stringify({ subscriber: this.options.subscriber, channel: this.channel, id: job.id });
      try {
        await this.client.http.call('/v1/ack', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
        job.resolve();
      } catch (err) {
        if (!err.retryable) job.reject(err);
        else if (this.acking) this.acking.promise.then(job.resolve, job.reject); // a later one says it too
        else this.acking = job;
        if (err.retryable) await this.ackBusy.after(err);
      }
    }
    this.ackBusy = null;
  }

  close(reason) {
    if (this.closed) return;
    this.closed = true;
    this.unabort?.();
    this.began.reject(reason ?? closedError());
    this.retry.wake();
    this.onClose?.(reason);
    this.line.remove(this);
  }
}
