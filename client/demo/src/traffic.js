// SPDX-License-Identifier: MIT
// Numbered messages from this page to itself: they give the latency as the page sees it, and count what is lost or comes
// twice while the network is broken. All pages share the channel, each counts its own.

import { byId, plain, setText, word } from './dom.js';

const CHANNEL = 'demo:traffic';
const WAITING = 500; // no more are sent while so many are on the way

const seqOf = (id) => Number(id.slice(id.lastIndexOf('.') + 1));

export class Traffic {
  onLatency = () => {}; // (milliseconds, the message, when it was sent by the wall clock)
  onRefused = () => {};
  #link;
  #stream = word(6);
  #timer = null;
  #isReady = false; // what is sent before would not come back
  #n = 0;
  #received = 0;
  #lost = 0;
  #repeated = 0;
  #waiting = new Map(); // n → {at, wall, seq once it was acknowledged}
  #seen = 0; // seq of the last message that came

  constructor(link) {
    this.#link = link;
    this.rate = 0;
    link.follow(CHANNEL, {}, (m) => this.#take(m)).ready.then(() => {
      document.addEventListener('visibilitychange', () => this.#pace());
      this.#isReady = true;
      this.#pace();
    });
  }

  set(rate) {
    this.rate = rate;
    this.#pace();
  }

  // Nobody looks at a hidden page.
  #pace() {
    clearInterval(this.#timer);
    this.#timer = this.rate && this.#isReady && !document.hidden ? setInterval(() => this.#send(), 1000 / this.rate) : null;
  }

  async #send() {
    if (this.#waiting.size >= WAITING) return;
    const n = ++this.#n, entry = { at: performance.now(), wall: Date.now(), seq: 0 };
    this.#waiting.set(n, entry);
    this.#show();
    try {
      const { id } = await this.#link.publish(CHANNEL, { stream: this.#stream, n });
      entry.seq = seqOf(id);
      this.#miss();
    } catch (err) {
      this.#waiting.delete(n);
      this.#n--;
      this.onRefused(err);
    }
    this.#show();
  }

  #take(m) {
    const seq = seqOf(m.id);
    if (m.data?.stream === this.#stream) {
      const entry = this.#waiting.get(m.data.n);
      if (entry && this.#waiting.delete(m.data.n)) {
        this.#received++;
        this.onLatency(performance.now() - entry.at, m, entry.wall);
      } else {
        this.#repeated++;
      }
    }
    this.#seen = seq;
    this.#miss();
    this.#show();
  }

  // Acknowledged, and a later one of the channel was there first.
  #miss() {
    for (const [n, entry] of this.#waiting) {
      if (!entry.seq || entry.seq >= this.#seen) continue;
      this.#waiting.delete(n);
      this.#lost++;
    }
  }

  #show() {
    const tally = { sent: this.#n, received: this.#received, waiting: this.#waiting.size, lost: this.#lost, repeated: this.#repeated };
    for (const [name, value] of Object.entries(tally)) setText(byId(`tally-${name}`), plain(value));
    byId('tally-lost').dataset.bad = this.#lost > 0;
    byId('tally-repeated').dataset.bad = this.#repeated > 0;
  }
}
