// SPDX-License-Identifier: MIT
// tabs: one connection for all tabs of an origin. The tab that holds the Web Lock leads: it has the connection, and follows
// channels for the others, from the id that they name, over a BroadcastChannel. To a follower its leader is a link like
// any other (TabLink): it keeps its own place in every channel, so a leader that dies costs nothing but a resumption: the lock goes to
// another tab, which says so. A follower holds a lock of its own, by which the leader knows when it is gone.

export function tabSharing({ Link, ConnectionError, random, deferred }) {
  class Tabs {
    constructor(client, locks) {
      Object.assign(this, { client, locks, name: `holdfast:tabs:${client.http.base}`, links: new Map(), served: new Map() });
      this.id = random();
      this.known = deferred(); // who leads
      this.bus = new BroadcastChannel(this.name);
      this.bus.onmessage = ({ data }) => this.hear(data);
      this.end = new AbortController();
      const hold = () => new Promise((resolve) => {
        if (client.closed) resolve();
        this.release = resolve;
        this.lead();
      });
      locks.request(this.name, { ifAvailable: true }, (lock) => {
        if (lock) return hold();
        this.bus.postMessage({ who: this.id });
        locks.request(this.name, { signal: this.end.signal }, hold).catch(() => {});
        return undefined;
      });
    }

    // Does somebody else lead?
    async leader() {
      let timer;
      await Promise.race([this.known.promise, new Promise((resolve) => { timer = setTimeout(resolve, 1000); })]);
      clearTimeout(timer);
      return !this.leads;
    }

    get line() { return this.client.lines.get(undefined); }

    lead() {
      this.leads = true;
      this.tell();
      this.known.resolve();
      for (const link of this.links.values()) link.fail(new ConnectionError('leader', 'this tab leads now'), { delay: 0 });
    }

    // What the leader's connection is: followers whose leader has none have none.
    tell() {
      if (!this.leads) return;
      const { link } = this.line ?? {};
      this.bus.postMessage({ leader: this.id, session: this.client.session, up: Boolean(link?.proven && !link.over) });
    }

    hear(data) {
      if (data.to) this.links.get(data.to)?.hear(data);
      else if (data.leader) {
        this.client.greeted(data);
        this.known.resolve();
        for (const link of this.links.values()) {
          if (link.leader && (link.leader !== data.leader || !data.up)) link.fail(new ConnectionError('leader', 'the leading tab has changed'), { delay: 0 });
        }
      } else if (this.leads) {
        if (data.who) this.tell();
        else if (data.open) this.serve(data);
        else if (data.drop) this.drop(data.drop, data.channel);
      }
    }

    // Leader: follow these channels for that tab.
    async serve({ open: id, channels, since, ref }) {
      const { client } = this;
      if (!this.served.has(id)) {
        this.served.set(id, new Map());
        this.locks.request(`${this.name}:${id}`, { signal: this.end.signal }, () => this.drop(id)).catch(() => {});
      }
      const subs = this.served.get(id);
      const send = (w) => this.bus.postMessage({ to: id, w });
      try {
        await Promise.all(channels.map((channel) => {
          let sub = subs.get(channel);
          if (!sub) {
            subs.set(channel, sub = client.subscribe(channel, { since, onError: () => subs.delete(channel) }));
            sub.sink = (m) => send({ ...m, type: 'message', content_type: m.type });
            sub.relay = send;
          }
          return sub.ready;
        }));
      } catch (err) {
        this.bus.postMessage({ to: id, ref, code: err.code, message: err.message });
        return;
      }
      if (this.served.has(id)) this.bus.postMessage({ to: id, ref, leader: this.id, via: client.transport });
    }

    drop(id, channel) {
      const subs = this.served.get(id);
      if (!subs) return;
      for (const [name, sub] of subs) {
        if (channel && name !== channel) continue;
        sub.close();
        subs.delete(name);
      }
      if (!channel) this.served.delete(id);
    }

    open(line, want) { return new TabLink(line, want); }

    close() {
      this.end.abort();
      this.release?.();
      this.bus.close();
      this.known.resolve();
    }
  }

  class TabLink extends Link {
    constructor(line, want) {
      super(line, 'tab', want);
      this.id = random();
      const { tabs } = this.client;
      this.tabs = tabs;
      tabs.links.set(this.id, this);
      tabs.locks.request(`${tabs.name}:${this.id}`, { signal: this.ctl.signal }, () => new Promise((resolve) => {
        this.release = resolve;
        this.join([...this.channels], this.since).then((reply) => {
          Object.assign(this, { leader: reply.leader, via: reply.via ?? 'tab' });
          this.prove();
        }).catch((err) => this.fail(err));
      })).catch(() => {});
    }

    shut() {
      this.release?.();
      this.tabs.links.delete(this.id);
      if (!this.client.closed) this.tabs.bus.postMessage({ drop: this.id });
    }

    join(channels, since) {
      return this.question((ref) => this.tabs.bus.postMessage({ open: this.id, channels, since, ref }));
    }

    hear({ w, ref, code, message, ...reply }) {
      if (w) this.take(w);
      else this.answer(ref, code && new ConnectionError(code, message), reply);
    }

    leave(channel) { this.tabs.bus.postMessage({ drop: this.id, channel }); }
    verify() {}
  }

  // Undefined where there are no locks: then every tab has a connection of its own.
  return (client) => {
    const { locks } = globalThis.navigator ?? {};
    return locks && globalThis.BroadcastChannel ? new Tabs(client, locks) : undefined;
  };
}
