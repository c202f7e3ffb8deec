// SPDX-License-Identifier: MIT
// The page's client of the broker. Another transport or another name needs another client: what was subscribed goes on
// there after the last id that was seen, and the former one stays until what was published by it has arrived.

import { Holdfast } from '/holdfast.js';

const EVERY = ['websocket', 'sse', 'longpoll', 'shortpoll'];

export class Link extends EventTarget {
  client = null;
  choice = 'auto';
  #network;
  #presence;
  #follows = new Set();
  #unsettled = new Map(); // client → publishes without an answer

  constructor(network, presence) {
    super();
    this.#network = network;
    this.#presence = presence;
  }

  // Connect, or connect anew in another way.
  open({ choice = this.choice, presence = this.#presence } = {}) {
    const old = this.client;
    this.choice = choice;
    this.#presence = presence;
    this.client = new Holdfast(location.origin, {
      transports: choice === 'auto' ? EVERY : [choice],
      remember: false, // the page begins the same each time
      fetch: this.#network.fetch,
      WebSocket: this.#network.WebSocket,
      presence,
      healthTimeout: 2000,
      upgradeAfter: 2000,
      backoff: { min: 200, max: 3000 },
    });
    for (const type of ['state', 'transport', 'gap', 'error']) this.#report(this.client, type);
    for (const follow of this.#follows) this.#subscribe(follow);
    if (old) this.#settle(old);
  }

  #report(client, type) {
    client.on(type, (detail) => {
      if (client === this.client) this.dispatchEvent(new CustomEvent(type, { detail }));
    });
  }

  // options: as of the client's subscribe. Returns {ready: a promise that what is published from now on arrives, close()}.
  follow(channel, options, onMessage) {
    const follow = { channel, options, onMessage, subscription: null, cursor: undefined };
    follow.ready = new Promise((resolve) => { follow.begun = resolve; });
    follow.close = () => {
      this.#follows.delete(follow);
      follow.subscription.close();
    };
    this.#follows.add(follow);
    this.#subscribe(follow);
    return follow;
  }

  #subscribe(follow) {
    const { last, ...rest } = follow.options;
    // A subscription that has not begun has no cursor yet: then that of the one before it counts.
    const cursor = follow.cursor = follow.subscription?.cursor ?? follow.cursor;
    const client = this.client;
    follow.subscription?.close();
    follow.subscription = client.subscribe(follow.channel, { ...rest, ...(cursor === undefined ? { last } : { since: cursor }) }, (message) => {
      if (client !== this.client) return; // the next one has begun after the cursor as it was then
      this.dispatchEvent(new CustomEvent('message', { detail: message }));
      follow.onMessage(message);
    });
    follow.subscription.ready.then(follow.begun, () => {});
  }

  async publish(channel, data) {
    const { client } = this;
    this.#unsettled.set(client, (this.#unsettled.get(client) ?? 0) + 1);
    try {
      return await client.publish(channel, data);
    } finally {
      this.#unsettled.set(client, this.#unsettled.get(client) - 1);
      this.#settle(client);
    }
  }

  #settle(client) {
    if (client === this.client || this.#unsettled.get(client) > 0) return;
    this.#unsettled.delete(client);
    client.close();
  }

  // To those who are there now; nobody's loss when it does not arrive.
  hint(channel, data) {
    if (this.client.state === 'connected') this.client.publish(channel, data, { ephemeral: true }).catch(() => {});
  }
}
