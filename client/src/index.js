// SPDX-License-Identifier: MIT
// Holdfast's client: the class that applications use; it puts the parts together. docs/client.md is its guide.

import { Attendance } from './attendance.js';
import { Choice } from './choice.js';
import { AbortError, ConnectionError, HoldfastError, OutboxFullError, RefusedError, closedError } from './errors.js';
import { Http } from './http.js';
import { random } from './ids.js';
import { Line } from './line.js';
import { fromWire } from './message.js';
import { iterate } from './iterate.js';
import { MemoryStore, Outbox } from './outbox.js';
import { Subscription } from './subscription.js';
import { deferred, onAbort } from './wait.js';
import { Link } from './transports/link.js';
import { watchWorld } from './world.js';

const DEFAULTS = { healthTimeout: 3000, upgradeAfter: 60000, maxOutbox: 1000 };

export class Holdfast extends EventTarget {
  constructor(url, options = {}) {
    super();
    this.options = { ...DEFAULTS, ...options };
    this.http = new Http(url, this.options);
    this.choice = new Choice(this);
    this.attendance = new Attendance(this);
    this.lines = new Map(); // by the name of the durable subscriber; the plain one is under undefined
    this.states = new Map();
    this.state = 'idle';
    watchWorld(this);
    if (this.options.outbox && this.options.outbox !== 'memory') this.openOutbox(); // it may hold what an earlier page left
    if (this.options.shareTabs) this.sharing = this.more().then(({ shareTabs }) => { this.tabs = this.closed ? undefined : shareTabs(this); }).catch((err) => this.failed(err));
    this.unabort = onAbort(options.signal, () => this.close());
  }

  get pending() { return this.outbox?.size ?? 0; }

  get transport() {
    const link = (this.lines.get(undefined) ?? [...this.lines.values()][0])?.link;
    return link?.via ?? link?.name;
  }

  // --- what applications call ---

  subscribe(channel, options = {}, onMessage) {
    if (typeof options === 'function') [options, onMessage] = [{}, options];
    if (this.closed) throw closedError();
    const { subscriber } = options;
    let line = this.lines.get(subscriber);
    if (!line) this.lines.set(subscriber, line = new Line(this, subscriber));
    const sub = new Subscription(this, line, channel, { ...options, since: options.since?.toString() }, onMessage);
    if (!sub.closed) line.add(sub);
    return sub;
  }

  messages(channel, options) { return iterate(this, channel, options); }

  async publish(channel, data, options) {
    if (this.closed) throw closedError();
    return this.openOutbox().publish(channel, data, options);
  }

  // Stored messages: the newest `last`, or those after `since`, at most `limit`, page by page as far as it takes.
  async history(channel, { since, last, limit = Infinity, signal } = {}) {
    const found = [];
    for (let page; !page || (page.more && !last && found.length < limit);) {
      const left = limit - found.length;
      const query = Object.entries({ channel, since: page?.cursor ?? since, last, limit: left < Infinity ? left : undefined });
      page = await this.http.call('/v1/history', { query, signal });
      found.push(...page.messages.map(fromWire));
    }
    return found;
  }

  async presence(channel, { signal } = {}) { return (await this.attendance.ask(channel, { signal })).members; }

  on(type, listener) {
    const call = (e) => listener(e.detail);
    this.addEventListener(type, call);
    return () => this.removeEventListener(type, call);
  }

  async close() {
    if (this.closed) return;
    this.closed = true;
    this.unabort?.();
    for (const line of this.lines.values()) line.close();
    this.outbox?.close();
    this.tabs?.close();
    this.http.close();
    this.state = 'closed';
    this.emit('state', { state: 'closed' });
  }

  // --- what the parts call ---

  openOutbox() {
    const { outbox = 'memory' } = this.options;
    return this.outbox ??= new Outbox(this, outbox === 'memory' ? new MemoryStore() : this.more().then(({ DurableStore }) => new DurableStore(outbox.name ?? 'default')));
  }

  async more() {
    try {
      return (await import('./holdfast-more.js')).default({ Link, ConnectionError, HoldfastError, random, deferred });
    } catch (cause) {
      throw new ConnectionError('unreachable', `holdfast-more.js: ${cause.message}`, { cause });
    }
  }

  emit(type, detail) {
    const e = new Event(type);
    e.detail = detail;
    this.dispatchEvent(e);
  }

  failed(err) {
    if (!this.closed && err) this.emit('error', err);
  }

  // A client is as well as the worst of its lines.
  setState(line, state, more) {
    this.states.set(line, state);
    const all = [...this.states.values()];
    state = ['waiting', 'connecting', 'connected'].find((s) => all.includes(s)) ?? 'idle';
    if (this.isOffline && /ing$/.test(state)) state = 'offline';
    if (this.closed || (state === this.state && state !== 'waiting')) return;
    this.tabs?.tell();
    this.state = state;
    this.emit('state', { state, ...more });
  }

  trusted(line, transport, reason, ms) {
    const previous = line.before;
    line.before = transport;
    this.setState(line, 'connected');
    if (previous !== transport || reason !== 'channels') this.emit('transport', { transport, previous, reason, ms });
    this.outbox?.hurry();
  }

  greeted({ session, epoch }) {
    if (session) this.session = session;
    if (epoch) this.top = `${epoch}.0`;
  }

  // What the broker offers.
  async learn() {
    if (this.known) return;
    const info = await this.http.call('/v1/info', { timeout: this.options.healthTimeout });
    if (info.protocol !== 1) throw new ConnectionError('bad_answer', 'no broker of protocol 1');
    this.info = info;
    this.known = true;
    this.greeted(info);
  }

  // Where to begin, and who we are: the same session over all connections.
  query(channels, start) {
    const { presence } = this.options;
    return [...[...channels].map((c) => ['channel', c]), ...Object.entries({ ...start, session: this.session ?? '', info: presence && JSON.stringify(presence) })];
  }

  async poll(channels, start, how) {
    const reply = await this.http.call('/v1/poll', { ...how, query: this.query(channels, start) });
    if (!reply.messages) throw new ConnectionError('bad_answer', 'no answer of a broker');
    this.greeted({ session: reply.session, epoch: reply.cursor.slice(0, reply.cursor.lastIndexOf('.')) });
    return reply;
  }

  hurry() {
    for (const line of this.lines.values()) line.hurry();
    this.outbox?.hurry();
  }
}

Holdfast.version = typeof HOLDFAST_VERSION === 'undefined' ? 'source' : HOLDFAST_VERSION; // put in by the bundler

export { AbortError, ConnectionError, HoldfastError, OutboxFullError, RefusedError, Subscription };
export default Holdfast;
