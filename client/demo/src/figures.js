// SPDX-License-Identifier: MIT
// The figures that the broker tells of itself (demo:stats), and the latency that this page sees, as tiles and charts.

import { LiveChart, SPAN_S } from './chart.js';
import { byId, plain, setText } from './dom.js';

const CHANNEL = 'demo:stats';
const SAMPLES = 6000; // more than a minute at the highest rate

const ms = (us) => us / 1000;

export class Figures {
  #told = []; // {ts, published, delivered, p50, p99}
  #own = []; // {at, ms}: by this machine's clock
  #skew = 0; // this machine's clock − the broker's
  #rate;
  #latency;
  #frame = 0;

  constructor(link) {
    this.#rate = new LiveChart(byId('rate-chart'), [{ label: 'published', colour: 'series-1' }, { label: 'delivered', colour: 'series-2' }]);
    this.#latency = new LiveChart(byId('latency-chart'), [
      { label: 'seen by this page', colour: 'series-3' }, { label: 'commit, median', colour: 'series-1' }, { label: 'commit, 99 %', colour: 'series-2' },
    ], { isLogarithmic: true });
    link.follow(CHANNEL, { last: SPAN_S }, (m) => this.#take(m));
    setInterval(() => this.#draw(), 1000);
    this.#draw();
  }

  // The page's own message was sent at `wall`, took so long, and has the broker's time on it.
  own(took, message, wall) {
    this.#own.push({ at: Date.now(), ms: took });
    if (this.#own.length > SAMPLES) this.#own.shift();
    if (message.ts) this.#skew = wall - message.ts;
  }

  #take({ ts, data }) {
    if (typeof data?.interval_ms !== 'number' || !data.commit) return; // whoever may publish may say anything here
    const second = data.interval_ms / 1000;
    this.#told.push({ ts, published: data.published / second, delivered: data.delivered / second, commit: data.commit });
    if (this.#told.length > 2 * SPAN_S) this.#told.shift();
    setText(byId('figure-published'), plain(data.published / second));
    setText(byId('figure-delivered'), plain(data.delivered / second));
    setText(byId('figure-connections'), plain(data.connections));
    setText(byId('figure-memory'), plain(data.resident_bytes / 1048576));
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const now = Date.now();
    const told = this.#told.map((t) => ({ ...t, x: (t.ts + this.#skew - now) / 1000 })).filter(({ x }) => x > -SPAN_S - 2);
    const line = (y) => told.map((t) => ({ x: Math.min(0, t.x), y: y(t) }));
    this.#own = this.#own.filter(({ at }) => now - at < (SPAN_S + 2) * 1000);
    const committed = told.filter((t) => t.commit.count > 0);
    const commit = (us) => committed.map((t) => ({ x: Math.min(0, t.x), y: ms(t.commit[us]) }));
    this.#rate.show([line((t) => t.published), line((t) => t.delivered)]);
    this.#latency.show([this.#own.map(({ at, ms: y }) => ({ x: (at - now) / 1000, y })), commit('p50_us'), commit('p99_us')]);
    this.#describe(told.at(-1), committed.at(-1));
  }

  // What the charts say, for those who do not see them.
  #describe(last, committed) {
    const own = this.#own.at(-1);
    setText(byId('rate-summary'), last ? `Now ${plain(last.published)} published and ${plain(last.delivered)} delivered per second.` : 'No figures yet.');
    setText(byId('latency-summary'), `${own ? `This page saw its last message after ${plain(own.ms)} ms. ` : ''}${committed ? `A commit takes ${plain(ms(committed.commit.p50_us))} ms, in the median.` : ''}`);
  }
}
