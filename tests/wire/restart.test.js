// SPDX-License-Identifier: MIT
// kill -9 while publishing: what was acknowledged is there, and everybody who returns gets exactly the rest.

import { rmSync } from 'node:fs';
import { claim, assert, unbroken } from './lib/claim.js';
import { TRANSPORTS, readAll } from './lib/follow.js';
import { until } from './lib/wait.js';
import { random } from './lib/random.js';

// Publish until told to stop; what was acknowledged goes into acked.
async function publisher(d, channels, name, acked, state) {
  for (let i = 0; !state.stop; i++) {
    const payload = `${name}-${i}`;
    try {
      const a = await d.post(`/v1/publish?channel=${channels[i % channels.length]}`, payload, { headers: { 'content-type': 'text/plain' } });
      if (a.status === 200) acked.set(a.json.id, payload);
      else if (a.status !== 503) throw new Error(`publish: ${a.status} ${a.text}`);
    } catch (err) {
      if (state.dying && /ECONN|EPIPE|socket hang up/.test(`${err.code} ${err.message}`)) return;
      throw err;
    }
  }
}

// A session: what it saw, over whatever transport, since the start.
class Session {
  seen = [];
  constructor(t, d, channels, cursor, turn) { Object.assign(this, { t, d, channels, cursor, turn }); }

  async come() {
    const name = TRANSPORTS[this.turn++ % 4];
    const f = this.f = await this.t.follow(name, this.d, this.channels, { since: this.cursor });
    this.reading = (async () => {
      for (;;) {
        const item = await f.items.next(3600e3).catch(() => null);
        if (!item) return;
        if (item.json.type === 'gap') throw new Error(`a gap over ${name}: ${item.raw}`);
        this.seen.push(item);
        this.cursor = item.json.id;
      }
    })();
    this.reading.catch(() => {});
  }

  async leave() {
    this.f.close();
    await this.reading;
  }
}

async function cycles(t, { rounds, config, label }) {
  const d = await t.daemon({ config });
  const channels = [`${label}a`, `${label}b`];
  const r = random(rounds);
  const acked = new Map();
  const { epoch } = (await d.get('/v1/info')).json;
  const start = await d.cursor(channels[0]);
  const sessions = [];
  for (let i = 0; i < 4; i++) sessions.push(new Session(t, d, channels, start, i));
  for (let round = 0; round < rounds; round++) {
    for (const s of sessions) await s.come();
    const state = { stop: false, dying: false };
    const goal = acked.size + 60 + r.int(100);
    const publishers = [0, 1, 2].map((k) => publisher(d, channels, `${round}.${k}`, acked, state));
    await until(() => acked.size >= goal, 10000, `${goal} acknowledged publishes`);
    state.dying = true;
    const dead = d.kill9();
    await Promise.all(publishers);
    await dead;
    for (const s of sessions) await s.leave();
    await d.restart();
    assert.equal((await d.get('/v1/info')).json.epoch, epoch, 'another epoch');
  }
  for (const s of sessions) await s.come();
  const end = await d.publish(channels[0], 'end');
  const log = await readAll(d, channels, start);
  unbroken(log, { first: null });
  assert.equal(log.at(-1).json.id, end.id);
  const stored = new Map(log.map((m) => [m.json.id, m.json.data]));
  assert.equal(stored.size, log.length);
  for (const [id, payload] of acked) assert.equal(stored.get(id), payload, `the acknowledged message ${id}`);
  for (const s of sessions) {
    await until(() => s.seen.at(-1)?.json.id === end.id, 10000, () => `the last message over ${s.f.transport} (it has ${s.seen.length} of ${log.length})`);
    await s.leave();
    assert.deepEqual(s.seen.map((m) => m.json.id), log.map((m) => m.json.id), `the session that ended on ${s.f.transport}`);
  }
  assert.equal(await d.stop(), 0);
}

claim('kill -9 in the midst of publishing, four times: nothing acknowledged is lost and every session gets exactly the rest on its next transport', { ms: 60000 }, (t) =>
  cycles(t, { rounds: 4, label: '' }));

claim('the same with durability sync', { ms: 60000 }, (t) =>
  cycles(t, { rounds: 2, label: 'safe:', config: { 'namespace safe': { durability: 'sync' } } }));

claim('nobody saw a message that the log does not have after a crash', { ms: 40000 }, async (t) => {
  const d = await t.daemon();
  for (let round = 0; round < 3; round++) {
    const since = await d.cursor('a');
    const s = await t.sse(d, `/v1/sse?channel=a&since=${since}`);
    await s.hello();
    const w = await t.ws(d, '/v1/ws');
    await w.hello();
    for (let i = 0; i < 500; i++) w.send({ type: 'publish', channel: 'a', data: i });
    const seen = await s.messages(50, 10000);
    await d.kill9();
    for (;;) {
      const e = await s.next(3000).catch(() => null);
      if (!e) break;
      if (e.data !== null && e.event === '') seen.push(e);
    }
    await d.restart();
    const log = new Set((await readAll(d, ['a'], since)).map((m) => m.json.id));
    for (const m of seen) assert.ok(log.has(m.id), `${m.id} was delivered and is not in the log`);
  }
});

claim('after a crash ids go on, none is used twice', async (t) => {
  const d = await t.daemon();
  const seen = new Set();
  let last = 0n;
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 5; i++) {
      const { id } = await d.publish('a', `${round}.${i}`);
      const seq = BigInt(id.split('.').pop());
      assert.ok(seq > last && !seen.has(id), id);
      last = seq;
      seen.add(id);
    }
    await d.restart({ kill: true });
  }
  const log = await readAll(d, ['a']);
  assert.deepEqual(log.map((m) => m.json.id), [...seen]);
  unbroken(log, { first: null });
});

claim('an orderly restart keeps log, epoch and cursors as well', async (t) => {
  const d = await t.daemon({ options: { 'server.drain_grace': '200ms' } });
  const { epoch } = (await d.get('/v1/info')).json;
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await d.publish('a', `${i}`)).id);
  await d.restart();
  assert.equal((await d.get('/v1/info')).json.epoch, epoch);
  for (const name of TRANSPORTS) {
    const f = await t.follow(name, d, ['a'], { since: ids[1] });
    assert.deepEqual((await f.take(3)).map((m) => m.json.id), ids.slice(2), name);
    f.close();
  }
});

claim('an empty data folder after a wipe is another log: old cursors get a gap', async (t) => {
  const d = await t.daemon();
  const { id } = await d.publish('a', 'x');
  await d.kill9();
  rmSync(d.dataDir, { recursive: true });
  await d.launch();
  const f = await t.follow('sse', d, ['a'], { since: id });
  const g = await f.takeGap();
  assert.equal(g.reason, 'epoch');
  assert.equal(g.from, id);
});
