// SPDX-License-Identifier: MIT
// outbox: publishes in the order in which they were made, each stored once, however often it has to be sent.
//
// One request is under way at a time (a flight). It carries all that waits, as one transaction: the slower the network, the
// larger the batch. It has the number of our producer, so that the broker knows it when it comes again, and answers with
// the receipts of the first time. What has a key, a ttl or an expected head flies alone. Refused flights are taken apart:
// only who is refused hears of it. The number of a refused flight is not used up.

import { AbortError, ConnectionError, HoldfastError, OutboxFullError, closedError } from './errors.js';
import { random } from './ids.js';
import { toBody, toWire } from './message.js';
import { Backoff, check, deferred, onAbort } from './wait.js';

const FLIGHT_MESSAGES = 200;
const FLIGHT_BYTES = 256 * 1024;

export class MemoryStore {
  async open(owner) { owner.own({ producer: random(), next: 1 }, []); }
  async add() { this.n = (this.n ?? 0) + 1; return this.n; }
  async save() {}
  close() {}
}

// A publish frame, over a socket if there is one, else by POST: the broker does not care, nor does a producer's number.
export async function transmit(client, frame, signal) {
  const link = [...client.lines.values()].map((l) => l.link).find((l) => l?.ask && !l.over);
  if (link) return link.ask({ type: 'publish', ...frame });
  const { messages, channel, key, producer, producer_seq: seq, ttl, expect, ephemeral } = frame;
  const [body, type] = messages ? [JSON.stringify(messages), 'application/json'] : toBody(frame);
  return client.http.call('/v1/publish', {
    method: 'POST', body, signal,
    query: Object.entries({ channel, ttl, expect, ephemeral, batch: messages && 'messages' }),
    headers: { 'Content-Type': type, ...(key && { 'Idempotency-Key': key }), ...(producer && { 'Producer-Id': producer, 'Producer-Seq': `${seq}` }) },
  });
}

const alone = ({ terms, single }) => single || Object.keys(terms).length > 0;

export class Outbox {
  constructor(client, store) {
    Object.assign(this, { client, queue: [], leaving: new Set(), early: new Map(), flight: null, adding: 0 });
    this.backoff = new Backoff(client);
    this.chain = this.opened = Promise.resolve(store).then((s) => {
      this.store = s;
      return s.open(this);
    });
    this.opened.catch((err) => client.failed(err));
  }

  get size() { return this.queue.length + this.adding; }

  // From now on it is we who send: all that is kept, beginning with what was under way.
  own({ producer, next, flight }, entries) {
    Object.assign(this, { producer, next, owns: true });
    const gone = this.queue.filter((q) => !entries.some((e) => e.n === q.n));
    this.queue = this.queue.filter((q) => !gone.includes(q));
    this.merge(entries);
    gone.forEach((e) => e.resolve({ channel: e.channel, duplicate: true })); // sent, and its receipt went down with another tab
    if (flight) this.flight = { ...flight, entries: this.queue.filter((e) => flight.keys.includes(e.n)) };
    if (this.flight && !this.flight.entries.length) this.flight = null;
    this.pump();
  }

  // What is just being taken out may be read once more.
  merge(entries) {
    for (const e of entries) if (!this.leaving.has(e.n) && !this.queue.some((q) => q.n === e.n)) this.queue.push(e);
    this.queue.sort((a, b) => a.n - b.n);
  }

  found(entries) {
    this.merge(entries);
    this.pump();
  }

  async publish(channel, data, { signal, type, ephemeral, key, ttl, expect } = {}) {
    check(signal);
    const wire = toWire(data, type); // now: what the caller changes later is not meant
    if (ephemeral) return wire.then((w) => transmit(this.client, { channel, ...w, ephemeral }, signal)).then(() => ({ channel })); // now or never
    wire.catch(() => {});
    if (this.size >= this.client.options.maxOutbox) {
      throw new OutboxFullError('outbox_full', `${this.size} publishes wait (maxOutbox)`);
    }
    const terms = { ...(key && { key }), ...(ttl && { ttl }), ...(expect && { expect }) };
    const entry = { channel, terms, ...deferred() };
    this.adding++;
    this.chain = this.chain.then(() => this.add(entry, wire, signal)).catch((err) => entry.reject(err)).finally(() => { if (!--this.adding) this.early.clear(); });
    return entry.promise;
  }

  async add(entry, wire, signal) {
    await this.opened;
    entry.wire = await wire;
    entry.bytes = JSON.stringify(entry.wire).length + entry.channel.length;
    check(signal);
    if (this.closed) throw closedError();
    const { channel, terms, bytes } = entry;
    entry.n = await this.store.add({ channel, terms, wire: entry.wire, bytes });
    if (this.closed) throw closedError(); // a durable one is sent by the next page
    const undo = onAbort(signal, () => this.abort(entry, signal.reason));
    entry.promise.catch(() => {}).then(undo);
    this.queue = this.queue.filter((q) => q.n !== entry.n); // read back already, without its promise
    this.found([entry]);
    if (this.early.has(entry.n)) this.settled(entry.n, ...this.early.get(entry.n));
  }

  // What is under way can not be called back, only its receipt is not waited for.
  abort(entry, reason) {
    entry.reject(new AbortError(reason));
    if (!this.flight?.entries.includes(entry)) this.drop([entry]);
  }

  async drop(entries, receipts, error) {
    this.queue = this.queue.filter((e) => !entries.includes(e));
    entries.forEach((e) => this.leaving.add(e.n));
    const said = error && { code: error.code, message: error.message, status: error.status };
    await this.store.save({ settled: entries.map((e) => e.n), receipts, error: said, next: this.next, flight: this.kept() });
    entries.forEach((e) => this.leaving.delete(e.n));
  }

  // Another tab sent it.
  settled(n, receipt, error) {
    const entry = this.queue.find((e) => e.n === n);
    if (!entry) { // perhaps before we heard that it was kept
      if (this.adding) this.early.set(n, [receipt, error]);
      return;
    }
    this.queue = this.queue.filter((e) => e !== entry);
    if (error) entry.reject?.(new HoldfastError(error.code, error.message, error));
    else entry.resolve?.(receipt);
  }

  kept() { return this.flight && { seq: this.flight.seq, sent: this.flight.sent, keys: this.flight.entries.map((e) => e.n) }; }

  async pump() {
    if (this.pumping || this.closed || !this.owns || !this.queue.length) return;
    this.pumping = true;
    try {
      while (this.queue.length && !this.closed) await this.fly();
    } catch (err) {
      this.client.failed(err);
    }
    this.pumping = false;
  }

  // The next flight. What it comprises is kept before it is sent: after a reload the very same is sent again.
  take() {
    const entries = [this.queue[0]];
    let { bytes } = this.queue[0];
    for (const e of this.queue.slice(1, FLIGHT_MESSAGES)) {
      if (alone(entries[0]) || alone(e) || (bytes += e.bytes) > FLIGHT_BYTES) break;
      entries.push(e);
    }
    this.flight = { entries, seq: this.next };
    return this.flight;
  }

  async fly() {
    const flight = this.flight ?? this.take();
    const window = (this.client.info?.limits.key_window ?? Infinity) * 1000;
    let receipts;
    if (flight.sent && Date.now() - flight.sent > window) {
      await this.give(flight, new ConnectionError('outcome_unknown', 'sent, never answered, and too long ago to be known again'), true);
      return;
    }
    try {
      if (!flight.sent) {
        flight.sent = Date.now();
        await this.store.save({ next: this.next, flight: this.kept() });
      }
      receipts = await this.send(flight);
    } catch (err) {
      if (this.closed) return;
      await this.failed(flight, err);
      return;
    }
    this.backoff.reset();
    this.flight = null;
    if (!flight.entries[0].terms.key) this.next = flight.seq + 1;
    await this.drop(flight.entries, receipts);
    flight.entries.forEach((e, i) => e.resolve?.(receipts[i]));
  }

  async failed(flight, err) {
    if (err.code === 'producer_gap' && err.detail?.expected) { // the broker forgot a part of what it had confirmed
      this.next = err.detail.expected;
      this.flight = null;
    } else if (err.retryable) {
      await this.backoff.after(err);
    } else if (flight.entries.length > 1) {
      flight.entries.forEach((e) => { e.single = true; });
      this.flight = null;
    } else {
      await this.give(flight, err);
    }
  }

  // These will not be sent any more.
  async give(flight, err, used) {
    this.flight = null;
    if (used) this.next = flight.seq + 1;
    await this.drop(flight.entries, undefined, err);
    for (const e of flight.entries) {
      if (e.reject) e.reject(err);
      else this.client.failed(err); // whoever asked for it is gone with its page
    }
  }

  async send({ entries, seq }) {
    const [{ channel, terms, wire }] = entries;
    const messages = entries.map((e) => ({ channel: e.channel, ...e.wire }));
    const reply = await transmit(this.client, {
      ...(messages[1] ? { messages } : { channel, ...wire }), ...terms, ...(!terms.key && { producer: this.producer, producer_seq: seq }),
    });
    const { ids = [reply.id], duplicate, durability } = reply;
    return entries.map((e, i) => ({ id: ids[i] ?? undefined, channel: e.channel, duplicate, durability }));
  }

  hurry() {
    this.backoff.wake();
    this.pump();
  }

  close() {
    this.closed = true;
    this.backoff.wake();
    for (const e of this.queue) e.reject?.(closedError());
    this.store?.close();
  }
}
