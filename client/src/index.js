// SPDX-License-Identifier: MIT
// Holdfast's client: the class that applications use; it puts the parts together. docs/client.md is its guide.

import { Attendance } from './attendance.js';
import { Choice } from './choice.js';
import { AbortError, ConnectionError, HoldfastError, OutboxFullError, RefusedError, closedError } from './errors.js';
import { Http } from './http.js';
import { Line } from './line.js';
import { fromWire, toBody, toWire } from './message.js';
import { iterate } from './iterate.js';
import { MemoryStore, Outbox } from './outbox.js';
import { DurableStore } from './outbox_idb.js';
import { Subscription } from './subscription.js';
import { shareTabs } from './tabs.js';
import { check, onAbort } from './wait.js';
import { watchWorld } from './world.js';

const DEFAULTS = { healthTimeout: 3000, upgradeAfter: 60000, maxOutbox: 1000 };
const VERSION = typeof HOLDFAST_VERSION === 'undefined' ? 'source' : HOLDFAST_VERSION; // eslint: put in by the bundler

export class Holdfast extends EventTarget {
  static version = VERSION;

  constructor(url, options = {}) {
    super();
    this.options = { ...DEFAULTS, ...options };
    this.http = new Http(url, this.options);
    this.choice = new Choice(this);
    this.attendance = new Attendance(this);
    this.lines = new Map(); // by the name of the durable subscriber; the plain one is under undefined
    this.states = new Map();
    this.state = 'idle';
    this.unwatch = watchWorld(this);
    if (this.options.outbox && this.options.outbox !== 'memory') this.openOutbox(); // it may hold what an earlier page left
    if (this.options.shareTabs) this.tabs = shareTabs(this);
    this.unabort = onAbort(options.signal, () => this.close());
  }

  get pending() { return this.outbox?.size ?? 0; }
  get transport() { const link = (this.lines.get(undefined) ?? [...this.lines.values()][0])?.link; return link?.via ?? link?.name; }

  // --- what applications call ---

  subscribe(channel, options = {}, onMessage) {
    if (typeof options === 'function') [options, onMessage] = [{}, options];
    if (this.closed) throw closedError();
    if (typeof channel !== 'string' || !channel) throw new TypeError('subscribe(channel, options?, onMessage?)');
    const { subscriber } = options;
    let line = this.lines.get(subscriber);
    if (!line) this.lines.set(subscriber, line = new Line(this, subscriber));
    const sub = new Subscription(this, line, channel, { ...options, since: options.since === undefined ? undefined : String(options.since) }, onMessage);
    if (!sub.closed) line.add(sub);
    return sub;
  }

  messages(channel, options) { return iterate(this, channel, options); }

  publish(channel, data, options) {
    if (this.closed) return Promise.reject(closedError());
    return this.openOutbox().publish(channel, data, options);
  }

  // Stored messages: the newest `last`, or those after `since`, at most `limit`, page by page as far as it takes.
  async history(channel, { since, last, limit, signal } = {}) {
    const found = [];
    for (let after = since; ;) {
      const ask = last === undefined ? { since: after, limit: limit && limit - found.length } : { last };
      const page = await this.http.call('/v1/history', { query: [['channel', channel], ...Object.entries(ask)], signal });
      found.push(...page.messages.map(fromWire));
      if (last !== undefined || !page.more || !page.messages.length || found.length >= limit) return found;
      after = page.cursor;
    }
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
    this.unwatch();
    this.unabort?.();
    for (const line of this.lines.values()) line.close();
    this.outbox?.close();
    this.tabs?.close();
    this.http.close();
    this.setState(null, 'closed');
  }

  // --- what the parts call ---

  openOutbox() {
    const { outbox = 'memory' } = this.options;
    return this.outbox ??= new Outbox(this, outbox === 'memory' ? new MemoryStore() : new DurableStore(outbox.name ?? 'default'));
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
  setState(line, state, more = {}) {
    if (line) {
      if (state) this.states.set(line, state);
      else this.states.delete(line);
      const all = [...this.states.values()];
      state = ['waiting', 'connecting', 'connected'].find((s) => all.includes(s)) ?? 'idle';
      if (this.isOffline && state !== 'connected' && state !== 'idle') state = 'offline';
    }
    if (this.closed && state !== 'closed') return;
    if (state === this.state && state !== 'waiting') return;
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
    if (info.protocol !== 1) throw new ConnectionError('bad_answer', `${this.http.base} is no broker that speaks protocol 1`);
    this.info = info;
    this.known = true;
    this.greeted(info);
  }

  forget() { this.known = false; }

  attend(sub) { this.attendance.attend(sub); }

  channelQuery(channels) { return [...channels].map((c) => ['channel', c]); }

  // Who we are: the same session over all connections.
  sessionQuery() {
    const { presence } = this.options;
    return [['session', this.session ?? ''], ['info', presence === undefined ? undefined : JSON.stringify(presence)]];
  }

  async poll(channels, start, { wait, signal, timeout } = {}) {
    const query = [...this.channelQuery(channels), ...Object.entries(start), ['wait', wait || undefined], ...this.sessionQuery()];
    const reply = await this.http.call('/v1/poll', { query, signal, timeout });
    if (!reply.cursor || !reply.messages) throw new ConnectionError('bad_answer', 'not the answer of a broker');
    this.greeted({ session: reply.session, epoch: reply.cursor.slice(0, reply.cursor.lastIndexOf('.')) });
    return reply;
  }

  // Ask over a socket, if one is open and proven; undefined: there is none.
  async askLink(frame) {
    const link = [...this.lines.values()].map((l) => l.link).find((l) => l?.ask && l.proven && !l.over);
    if (!link) return undefined;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new ConnectionError('timeout', 'no answer over the WebSocket')), this.http.timeout);
    });
    return Promise.race([link.ask(frame), late]).finally(() => clearTimeout(timer));
  }

  // Ephemeral: now or never.
  async sendNow(channel, data, type, signal) {
    const wire = await toWire(data, type);
    check(signal);
    let reply = await this.askLink({ type: 'publish', channel, ...wire, ephemeral: true });
    if (!reply) {
      const [body, contentType] = toBody(wire);
      reply = await this.http.call('/v1/publish', {
        method: 'POST', query: [['channel', channel], ['ephemeral', 1]], body, signal, headers: { 'Content-Type': contentType },
      });
    }
    return { channel };
  }

  hurry() {
    for (const line of this.lines.values()) line.hurry();
    this.outbox?.hurry();
  }
}

export { AbortError, ConnectionError, HoldfastError, OutboxFullError, RefusedError, Subscription };
export default Holdfast;
