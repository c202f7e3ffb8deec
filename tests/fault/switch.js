#!/usr/bin/env -S node --test-reporter=tap
// SPDX-License-Identifier: MIT
// Clients that move from every transport to every other in mid-stream, under load, through a network that cuts, delays, splits
// and half-closes: nothing is lost, nothing comes twice, the order and each prev are right.
// HOLDFAST_TEST_LONG=1: 100,000 messages instead of 20,000.

import { claim, assert } from '../wire/lib/claim.js';
import { TRANSPORTS, follow } from '../wire/lib/follow.js';
import { random } from '../wire/lib/random.js';
import { scale } from '../wire/lib/wait.js';

const LONG = !!process.env.HOLDFAST_TEST_LONG;
const MESSAGES = LONG ? 100_000 : 20_000;
const CHANNELS = [...Array(20).keys()].map((i) => `room${i}`);
const AHEAD = 2000; // the publisher may be so many messages ahead of the slowest client

// Passes each of the 12 ways from one transport to another once, and ends where it began.
const CIRCUIT = [0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3];

// Each connection has its own temper. (Delays between tiny pieces would only make it slow.)
function temper(rnd) {
  const split = rnd.pick([0, 7, 100, 1400, 4000]);
  return {
    split,
    delay: split < 1400 || rnd.int(3) ? 0 : 2,
    cutAfter: rnd.int(2) ? 0 : rnd.pick([300, 5000, 60000]),
    halfAfter: rnd.int(4) ? 0 : 20000,
  };
}

const seqOf = (id) => Number(id.slice(id.lastIndexOf('.') + 1));

class Mover {
  count = 0;
  stays = 0;
  cutStays = 0;
  lastOf = new Map();
  ways = new Map(); // "from to" → how often
  came = null;      // over which transport the last message came

  constructor(via, since, n, goal) {
    Object.assign(this, { via, cursor: since, at: n * 3, rnd: random(100 + n), goal, seq: seqOf(since) });
  }

  take(name, item) {
    const m = item.json;
    assert.equal(m.type, 'message', `${name}: ${item.raw}`);
    const seq = seqOf(m.id);
    assert.ok(seq > this.seq, `${m.id} after ${this.cursor} over ${name}: repeated, or out of order`);
    assert.equal(m.prev, this.lastOf.get(m.channel) ?? null, `prev of ${m.id} over ${name}: something between is lost`);
    this.lastOf.set(m.channel, m.id);
    this.seq = seq;
    this.cursor = m.id;
    this.count++;
    if (this.came && this.came !== name) this.ways.set(`${this.came} ${name}`, (this.ways.get(`${this.came} ${name}`) ?? 0) + 1);
    this.came = name;
  }

  // Follow over one transport for a while; leave in mid-stream, or when the network ends it.
  async stay(name, n) {
    let f = null;
    try {
      f = await follow(name, this.via, CHANNELS, { since: this.cursor }, { wait: 2 });
      for (let i = 0; i < n && this.count < this.goal; i++) {
        const item = await f.items.next(1500).catch(() => null); // cut, or cut without our being told
        if (!item) {
          this.cutStays++;
          return;
        }
        this.take(name, item);
        this.progress();
      }
    } catch (err) {
      if (err.code === 'ERR_ASSERTION') throw err;
      this.cutStays++; // the network did not even let it begin
    } finally {
      f?.close();
    }
  }

  async run() {
    while (this.count < this.goal) {
      this.stays++;
      await this.stay(TRANSPORTS[CIRCUIT[this.at++ % 12]], 1 + this.rnd.int(300));
    }
  }
}

claim(`${MESSAGES} messages over ${CHANNELS.length} channels, four clients that change their transport in all 12 directions over a bad network`, { ms: LONG ? 550e3 : 200e3 }, async (t) => {
  const d = await t.daemon({ options: { 'delivery.poll_messages': 200 }, config: { namespace: { history_count: 0 } } });
  const p = await t.proxy(d, { seed: 77, temper });
  const via = Object.create(d, { port: { value: p.port } });
  const since = await d.cursor(CHANNELS[0]);
  const movers = TRANSPORTS.map((_, i) => new Mover(via, since, i, MESSAGES));
  const r = random(3);
  let wake = () => {};
  for (const m of movers) m.progress = () => wake();
  const publish = async () => {
    for (let sent = 0; sent < MESSAGES;) {
      while (Math.min(...movers.map((m) => m.count)) + AHEAD < sent) await new Promise((resolve) => { wake = resolve; });
      const n = Math.min(1 + r.int(40), MESSAGES - sent);
      const lines = [...Array(n).keys()].map((i) => `${sent + i} ${'x'.repeat(r.int(200))}`);
      await d.publish(r.pick(CHANNELS), lines.join('\n'), { query: '&batch=lines' });
      sent += n;
    }
  };
  const began = Date.now();
  await Promise.all([publish(), ...movers.map((m) => m.run())]);
  const stored = await d.metric('holdfast_messages_published_total{durability="commit"}');
  assert.equal(stored, MESSAGES);
  const ways = new Map();
  for (const m of movers) {
    assert.equal(m.count, MESSAGES);
    for (const [way, n] of m.ways) ways.set(way, (ways.get(way) ?? 0) + n);
  }
  assert.equal(ways.size, 12, [...ways.keys()].join(', '));
  const sum = (key) => movers.reduce((n, m) => n + m[key], 0);
  t.test.diagnostic(`${4 * MESSAGES} messages received in ${((Date.now() - began) / 1000).toFixed(1)} s: ${sum('stays')} stays, ${sum('cutStays')} of them ended by the network, `
    + `${p.accepted} connections, ${p.cuts} cut, ${p.halves} half-closed; each way at least ${Math.min(...ways.values())} times (scale ${scale})`);
});
