// SPDX-License-Identifier: MIT
// line: the connection of a set of subscriptions, through all its links. All plain subscriptions of a client share one;
// those of a durable subscriber have one under its name, because the broker waits there for acknowledgements.
//
// The broker's log is totally ordered, so one id resumes all channels: the link's `mark`, the last id seen on it. A new
// subscription first finds its place by a plain poll (subscription.js) and joins when it is near the present. A link is
// replaced by one that begins at the mark while the old one still runs; what both bring is dropped by id.
//
//   idle ─ a subscription ─▶ find places ─▶ connect (choice.js) ─▶ connected ─ the link ends ─▶ pause (backoff, hints) ─▶ …

import { ConnectionError, RefusedError } from './errors.js';
import { beginOf, earlier, sameEpoch } from './ids.js';
import { fromWire } from './message.js';
import { PollLink } from './transports/poll.js';
import { SseLink } from './transports/sse.js';
import { WebSocketLink } from './transports/websocket.js';
import { Backoff } from './wait.js';

const STABLE_MS = 5000;  // a link that lived so long was good: the next failure is a new one
const REOPEN_MS = 20;    // changes of channels that come together are one
const SETTLE_MS = 500;   // a replaced link may still bring what is ephemeral
const UPGRADE_MAX_MS = 3600000;

const LINKS = {
  websocket: (line, want) => new WebSocketLink(line, want),
  sse: (line, want) => new SseLink(line, want),
  longpoll: (line, want) => new PollLink(line, want, 'longpoll'),
  tab: (line, want) => line.client.tabs.open(line, want),
  shortpoll: (line, want) => new PollLink(line, want, 'shortpoll'),
};

export class Line {
  constructor(client, subscriber) {
    Object.assign(this, { client, subscriber });
    this.subs = new Set();
    this.links = new Set(); // all that are open; more than one while they overlap
    this.shortLived = this.upgradeMs = 0;
    this.backoff = new Backoff(client);
    this.late = new Backoff(client); // of new subscriptions while connected
  }

  // --- subscriptions ---

  add(sub) {
    this.subs.add(sub);
    if (!this.running) this.run();
    else if (this.link) this.admit();
    else this.backoff.wake();
  }

  remove(sub) {
    if (!this.subs.delete(sub)) return;
    if (!this.subs.size) {
      this.backoff.wake();
      this.link?.close();
    } else if (this.link && ![...this.subs].some((s) => s.channel === sub.channel)) {
      const { link } = this;
      link.channels.delete(sub.channel);
      if (link.leave) link.leave(sub.channel);
      else this.reopenSoon();
    }
  }

  in(channel) { return [...this.subs].filter((s) => s.covers(channel)); }
  placed() { return [...this.subs].filter((s) => !s.fresh); }
  channels() { return [...new Set(this.placed().map((s) => s.channel))]; }

  // From where a new link has to begin: undefined is the position that the broker keeps.
  since() {
    const heads = this.placed().filter((s) => !s.joined).map((s) => s.head);
    if (this.subscriber) return this.joinedOnce || heads.includes(undefined) ? undefined : heads.reduce(earlier, undefined);
    return heads.reduce(earlier, this.link?.mark ?? this.mark);
  }

  // Find the places of new subscriptions; throws when nobody answers. Refused ones fail alone.
  place() {
    this.placing ??= (async () => {
      for (let fresh; (fresh = [...this.subs].filter((s) => s.fresh)).length;) await this.placeThese(fresh);
    })().finally(() => { this.placing = null; });
    return this.placing;
  }

  async placeThese(fresh) {
    const now = fresh.filter((s) => !s.start);
    try {
      const cursor = !this.subscriber && now.length ? (await this.client.poll(new Set(now.map((s) => s.channel)), {})).cursor : undefined;
      now.forEach((s) => s.begin(cursor));
    } catch (err) {
      if (err.retryable || this.client.closed) throw err; // else one of them is refused: asked alone it hears of it
    }
    // One first: the others then come with its session.
    const [first, ...others] = fresh.filter((s) => s.fresh);
    if (first) await this.placeAt(first);
    await Promise.all(others.map((s) => this.placeAt(s)));
  }


  async placeAt(sub) {
    try {
      await sub.catchUp();
    } catch (err) {
      if (err.retryable || this.client.closed) throw err;
      sub.fail(err);
    }
  }

  // New subscriptions while connected.
  async admit() {
    if (this.admitting) return;
    this.admitting = true;
    this.late.reset();
    while (this.link && [...this.subs].some((s) => s.fresh)) {
      try {
        await this.place();
      } catch (err) {
        if (this.client.closed) break;
        this.client.failed(err);
        await this.late.after(err);
      }
    }
    this.admitting = false;
    if (this.link) this.join();
  }

  // Bring the link to carry all that have a place.
  async join() {
    const { link } = this;
    const missing = this.placed().filter((s) => !s.joined);
    if (!missing.length) return;
    const channels = [...new Set(missing.map((s) => s.channel))].filter((c) => !link.channels.has(c));
    if (channels.length && !link.join) {
      this.reopenSoon();
      return;
    }
    const since = missing.map((s) => s.head).reduce((a, b) => (this.subscriber && !(a && b) ? undefined : earlier(a, b)));
    try {
      if (channels.length) {
        await link.join(channels, since);
        link.mark = earlier(link.mark, since);
        channels.forEach((c) => link.channels.add(c));
      }
      this.joined(missing);
    } catch (err) {
      link.fail(err); // the next round tells who is refused
    }
  }

  joined(subs) {
    for (const s of subs) {
      if (s.closed) continue;
      s.joined = true;
      this.client.attendance.attend(s);
    }
  }

  // --- links ---

  open(name) {
    const link = LINKS[name](this, { channels: this.channels(), since: this.since() });
    this.links.add(link);
    link.ended.then(() => this.links.delete(link));
    return link.trusted;
  }

  adopt(link, reason, began) {
    const { client, link: old } = this;
    const before = this.placed().filter((s) => link.channels.has(s.channel));
    this.mark = undefined;
    this.link = link;
    this.joinedOnce = true;
    this.joined(before);
    if (old) setTimeout(() => old.close(), SETTLE_MS);
    if (!link.via) client.choice.worked(link.name);
    client.trusted(this, link.via ?? link.name, reason, Date.now() - began);
    this.planUpgrade();
    this.admit();
  }

  // Try what is offered, one after the other.
  async connect() {
    const { client } = this;
    const began = Date.now();
    const tried = [];
    let last;
    await client.sharing;
    const leader = !this.subscriber && await client.tabs?.leader();
    for (const name of leader ? ['tab'] : client.choice.order()) {
      try {
        const link = await this.open(name);
        if (!this.subs.size) link.close();
        else this.adopt(link, tried[0] ? 'fallback' : this.joinedOnce ? 'reconnected' : 'connected', began);
        return;
      } catch (err) {
        last = err;
        tried.push(err.message);
        if (client.closed || !this.subs.size) break;
      }
    }
    const { code = 'no_transport', retryable = true, retryAfter } = last ?? {};
    throw new ConnectionError(code, `no transport works: ${tried}`, { cause: last, retryAfter, refused: !retryable });
  }

  // A link with the channels of now takes over.
  async swap(link, name, reason) {
    const began = Date.now();
    const next = await this.open(name);
    if (this.link !== link) next.close();
    else this.adopt(next, reason, began);
  }

  reopenSoon() {
    this.reopening ??= setTimeout(async () => {
      const { link } = this;
      try {
        if (link) await this.swap(link, link.name, 'channels');
      } catch (err) {
        link.fail(err);
      }
      this.reopening = null;
      if (this.link) this.join();
    }, REOPEN_MS);
  }

  planUpgrade() {
    clearTimeout(this.upgrading);
    const { client: { choice, options }, link } = this;
    if (!choice.better(link.name).length) {
      this.upgradeMs = 0;
      return;
    }
    this.upgradeMs = Math.min(this.upgradeMs * 2, UPGRADE_MAX_MS) || options.upgradeAfter;
    this.upgrading = setTimeout(async () => {
      for (const name of choice.better(link.name)) {
        if (this.link === link) await this.swap(link, name, 'upgrade').catch(() => {}); // it is tried again
      }
      if (this.link === link) this.planUpgrade();
    }, this.upgradeMs);
  }

  // --- what links bring ---

  message(link, w) {
    if (w.id) link.mark = w.id;
    else if (!this.isNew(link, w)) return;
    const m = fromWire(w);
    for (const s of this.in(w.channel)) s.take(m);
  }

  gap(link, g) {
    const now = g.to ?? g.oldest ?? this.client.top;
    if (now && (!link.mark || !sameEpoch(link.mark, now))) link.mark = g.to ?? beginOf(now);
    for (const s of this.in(g.channel)) s.gap(g);
  }

  presence(w) {
    for (const s of this.in(w.channel)) {
      if (s.relay) s.relay(w);
      else if (s.options.presence) this.client.attendance.event(s, w);
    }
  }

  // What has no id comes from every link that is open, and counts once: the n-th of its kind on one link is the n-th on another.
  isNew(link, w) {
    if (this.links.size < 2) {
      this.given = null;
      return true;
    }
    const key = JSON.stringify([w.channel, w.ts, w.data]);
    if (!this.given) this.given = new Map();
    if (link.counts?.of !== this.given) link.counts = Object.assign(new Map(), { of: this.given });
    const n = (link.counts.get(key) ?? 0) + 1;
    link.counts.set(key, n);
    if (n <= (this.given.get(key) ?? 0)) return false;
    this.given.set(key, n);
    return true;
  }

  // --- life ---

  async run() {
    this.running = true;
    const { client } = this;
    while (this.subs.size) {
      let end;
      try {
        client.setState(this, 'connecting');
        await Promise.all([client.learn(), this.place()]);
        if (this.subs.size) await this.connect();
        end = this.link && await this.watched();
      } catch (error) {
        end = { error };
        client.known = false;
        if (error.refused) await this.findRefused(error.code);
      }
      if (!this.subs.size) break;
      client.failed(end.error);
      if (end.final) for (const s of [...this.subs]) s.fail(end.error);
      else {
        const ms = end.delay ?? this.backoff.next(end.error.retryAfter);
        client.setState(this, 'waiting', { retryIn: Math.round(ms), reason: end.error.code });
        await this.backoff.pause(ms);
      }
    }
    this.running = false;
    this.mark = undefined;
    client.setState(this);
  }

  // Until the link, or the last of those that took its place, has ended.
  async watched() {
    for (;;) {
      const { link } = this;
      const end = await link.ended;
      if (this.link !== link) continue;
      clearTimeout(this.upgrading);
      this.late.wake();
      this.mark = link.mark;
      this.link = null;
      const isShort = Date.now() - link.proven < STABLE_MS;
      if (!isShort) this.backoff.reset();
      this.shortLived = isShort && end.delay === undefined ? this.shortLived + 1 : 0;
      if (this.shortLived > 2 || end.avoid) this.client.choice.avoid(link.name);
      return end;
    }
  }

  // All transports were refused: is one of the channels, or are they too many?
  async findRefused(code) {
    const most = /^too_many/.test(code) && [...this.subs].pop();
    if (most) most.fail(new RefusedError(code, 'more than the broker takes on one connection'));
    else await Promise.all([...this.subs].map((s) => this.client.poll([s.channel], { subscriber: this.subscriber }).catch((err) => {
      if (!err.retryable) s.fail(err);
    })));
  }

  // The network is back, or the page is seen again: do not wait, and see whether the link is alive.
  hurry() {
    this.backoff.wake();
    this.late.wake();
    for (const s of this.subs) s.retry.wake();
    this.link?.verify();
    if (this.link && this.upgradeMs) { // what did not get through the network of before may now
      this.upgradeMs = undefined;
      this.planUpgrade();
    }
  }

  close() {
    clearTimeout(this.reopening);
    for (const link of [...this.links]) link.close();
    for (const s of [...this.subs]) s.close();
    this.backoff.wake();
    this.late.wake();
  }
}
