#!/usr/bin/env -S node --test-reporter=tap
// SPDX-License-Identifier: MIT
// Parts that fail under load: the n-th allocation, write, sync, accept, wake-up or send. Either the daemon goes on, and said so to
// whoever was concerned, or it ends by abort() with a last word. Never: silent loss, a message that was acknowledged and is
// gone, one that was delivered and is not in the log, a log that does not open.
// HOLDFAST_TEST_LONG=1: ten times as many shots. HOLDFAST_TEST_BIN: where fail_shim.so was built.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { claim, assert, unbroken } from '../wire/lib/claim.js';
import { holdfastd } from '../wire/lib/daemon.js';
import { readHistory, TRANSPORTS } from '../wire/lib/follow.js';
import { random } from '../wire/lib/random.js';
import { until } from '../wire/lib/wait.js';

const SHOTS = process.env.HOLDFAST_TEST_LONG ? 10 : 1;
const shim = path.join(process.env.HOLDFAST_TEST_BIN || path.resolve(path.dirname(holdfastd), '../tests/fault'), 'fail_shim.so');
const skip = fs.existsSync(shim) ? false : `there is no ${shim}`;

const KINDS = ['memory', 'write', 'sync', 'accept', 'wake', 'send'];
const { EIO, ENOSPC, EMFILE, ENFILE, ECONNABORTED, EAGAIN, ENOBUFS, ENOMEM, EPIPE } = os.constants.errno;
const CHANNELS = ['a', 'safe:a', 'b'];
const GONE = /ECONN|EPIPE|socket hang up|was closed|ended|left|nothing within/;
// What a daemon says that ends itself: its own words, or an assertion's.
const LAST_WORDS = /holdfast: out of memory|Assertion .* failed/;

class Gun {
  constructor(dir) {
    this.file = path.join(dir, 'aim');
    fs.writeFileSync(this.file, Buffer.alloc(KINDS.length * 16));
  }

  fire(kind, n, times, errno) {
    const b = Buffer.alloc(16);
    b.writeInt32LE(times, 4);
    b.writeInt32LE(errno, 8);
    const fd = fs.openSync(this.file, 'r+');
    fs.writeSync(fd, b, 0, 16, KINDS.indexOf(kind) * 16);
    b.writeInt32LE(n, 0); // last: now it counts
    fs.writeSync(fd, b, 0, 4, KINDS.indexOf(kind) * 16);
    fs.closeSync(fd);
  }

  failed(kind) { return fs.readFileSync(this.file).readInt32LE(KINDS.indexOf(kind) * 16 + 12); }
  rest() { fs.writeFileSync(this.file, Buffer.alloc(KINDS.length * 16), { flag: 'r+' }); }
}

class Battle {
  acked = new Map();
  seen = new Map();
  once = new Map(); // payload → id: published with a key, or a number, until there was an answer
  positions = new Map(); // channel → [the newest position that was answered, the newest that was asked for]
  joined = 0;
  refused = 0;
  stop = false;

  constructor(t, d, since, n) { Object.assign(this, { t, d, since, n }); }

  async publish(channel, k) {
    for (let i = 0; !this.stop; i++) {
      const payload = `${this.n}.${k}.${i}`;
      try {
        const a = await this.d.post(`/v1/publish?channel=${channel}`, payload, { headers: { 'content-type': 'text/plain' } });
        if (a.status === 200) this.acked.set(a.json.id, payload);
        else {
          assert.ok(a.status >= 500, a.text); // never anything else
          assert.match(a.json.error.code, /^(store_unavailable|overloaded|internal)$/);
          this.refused++;
        }
      } catch (err) {
        if (!GONE.test(`${err.code} ${err.message}`)) throw err;
        if (!this.d.alive) return;
      }
    }
  }

  // Repeats each publish until it is stored; the answer says so at last.
  async publishOnce(channel, k, terms) {
    for (let i = 1; !this.stop; i++) {
      const payload = `${this.n}.once${k}.${i}`;
      for (;;) {
        try {
          const a = await this.d.post(`/v1/publish?channel=${channel}`, payload, { headers: { 'content-type': 'text/plain', ...terms(i) } });
          if (a.status === 200) {
            this.once.set(payload, a.json.id);
            break;
          }
          assert.match(a.json.error.code, /^(store_unavailable|overloaded|internal)$/, a.text);
          this.refused++;
        } catch (err) {
          if (!GONE.test(`${err.code} ${err.message}`)) throw err;
          if (!this.d.alive) return;
        }
      }
    }
  }

  // Acknowledges what was published.
  async acknowledge(subscriber) {
    const seq = (id) => BigInt(id.split('.')[1]);
    while (!this.stop) {
      const id = [...this.acked.keys()].at(-1);
      if (!id) {
        await this.d.get('/healthz').catch(() => {});
        if (!this.d.alive) return;
        continue;
      }
      for (const channel of CHANNELS) {
        const [answered, asked] = this.positions.get(channel) ?? [0n, 0n];
        this.positions.set(channel, [answered, seq(id) > asked ? seq(id) : asked]);
        try {
          const a = await this.d.post('/v1/ack', JSON.stringify({ subscriber, channel, id }));
          if (a.status === 200) this.positions.set(channel, [seq(a.json.id), this.positions.get(channel)[1]]);
          else assert.match(a.json.error.code, /^(store_unavailable|overloaded|internal)$/, a.text);
        } catch (err) {
          if (!GONE.test(`${err.code} ${err.message}`)) throw err;
          if (!this.d.alive) return;
        }
      }
    }
  }

  // Comes into a room and leaves it again.
  async visit() {
    while (!this.stop && this.d.alive) {
      let w = null;
      try {
        w = await this.t.ws(this.d, '/v1/ws?channel=room:a&presence=1&subscriber=visitor');
        await w.frames.find((f) => JSON.parse(f.raw).type === 'presence', 2000);
        this.joined++;
      } catch (err) {
        if (!GONE.test(`${err.code} ${err.message}`)) throw err;
      } finally {
        w?.close();
      }
    }
  }

  // One session: comes back with its last id whenever it is cut off, over the next transport.
  async follow(turn) {
    let cursor = this.since, last = this.since;
    for (;;) {
      const name = TRANSPORTS[turn++ % 4];
      let f = null;
      try {
        f = await this.t.follow(name, this.d, CHANNELS, { since: cursor });
        for (;;) {
          const item = await f.items.next(2000);
          assert.equal(item.json.type, 'message', item.raw);
          const m = item.json;
          assert.ok(BigInt(m.id.split('.')[1]) > BigInt(last.split('.')[1]), `${m.id} after ${last}`);
          cursor = last = m.id;
          this.seen.set(m.id, m.data);
          if (m.data === `end ${this.n}`) return 'all';
        }
      } catch (err) {
        if (err.code === 'ERR_ASSERTION') throw err;
        if (!this.d.alive) return 'died';
      } finally {
        f?.close();
      }
    }
  }
}

async function judge(d, since, battle) {
  const log = new Map();
  for (const channel of CHANNELS) {
    const items = await readHistory(d, channel, since);
    unbroken(items);
    for (const { json } of items) log.set(json.id, json.data);
  }
  for (const [id, payload] of battle.acked) assert.equal(log.get(id), payload, `the acknowledged message ${id}`);
  for (const [id, payload] of battle.seen) assert.equal(log.get(id), payload, `${id} was delivered`);
  for (const [payload, id] of battle.once) assert.equal(log.get(id), payload, `published once: ${id}`);
  const unique = [...log.values()].filter((payload) => payload.includes('.once'));
  assert.equal(new Set(unique).size, unique.length, 'a repetition was stored');
  const { acks } = (await d.get(`/v1/acks?subscriber=worker${battle.n}`)).json;
  for (const [channel, [answered, asked]] of battle.positions) {
    const kept = BigInt(acks.find((a) => a.channel === channel)?.id.split('.')[1] ?? 0);
    assert.ok(kept >= answered && kept <= asked, `the position of ${channel} is ${kept}, ${answered} was answered, ${asked} asked for`);
  }
  await d.untilMetric('holdfast_presence_entries', (v) => v === 0);
  return log;
}

// One shot while all are at it. Gives 'lived' or 'died'.
async function shoot(t, d, gun, n, { kind, at, times = 1, errno = 0 }) {
  const since = await d.cursor('a');
  const battle = new Battle(t, d, since, n);
  const sessions = [0, 1, 2, 3].map((turn) => battle.follow(turn));
  const publishers = [
    ...CHANNELS.map((c, k) => battle.publish(c, k)), battle.acknowledge(`worker${n}`), battle.visit(),
    battle.publishOnce('a', 0, (i) => ({ 'idempotency-key': `${n}.${i}` })),
    battle.publishOnce('safe:a', 1, (i) => ({ 'producer-id': `p${n}`, 'producer-seq': `${i}` })),
  ];
  const everybody = Promise.all([...sessions, ...publishers]);
  everybody.catch(() => {});
  gun.fire(kind, at, times, errno);
  await Promise.race([everybody, until(() => !d.alive || (gun.failed(kind) >= times && battle.acked.size > 20), 15000, 'the shot to be fired')
    .catch((err) => { if (gun.failed(kind) === 0) throw err; })]); // less calls than shots
  const { failed } = { failed: gun.failed(kind) };
  gun.rest();
  battle.stop = true;
  await Promise.all(publishers);
  if (d.alive) {
    await until(async () => (await d.post('/v1/publish?channel=a', `end ${n}`, { headers: { 'content-type': 'text/plain' } }).catch(() => null))?.status === 200 || !d.alive,
      10000, 'the daemon to take publishes again');
  }
  const ends = await Promise.all(sessions);
  if (!d.alive) {
    d.expectExit = true;
    const end = await d.awaitExit();
    assert.equal(end.signal, 'SIGABRT', `it died otherwise: ${JSON.stringify(end)}`);
    assert.match(d.stderr, LAST_WORDS);
    await d.kill9();
    d.stderr = '';
    await d.launch();
  } else {
    assert.deepEqual(ends, ['all', 'all', 'all', 'all']);
  }
  await judge(d, since, battle);
  return { ends: ends.includes('died') ? 'died' : 'lived', refused: battle.refused, failed, acks: battle.positions.size, once: battle.once.size, joined: battle.joined };
}

async function series(t, shots) {
  const d = await t.daemon({ config: {
    'namespace safe': { durability: 'sync' }, 'namespace room': { presence: 'yes' }, presence: { grace: '20ms', batch: '20ms' }, namespace: { history_count: 0 },
  } });
  await d.stop();
  const gun = new Gun(d.dir);
  d.env = { LD_PRELOAD: shim, FAIL_SHIM: gun.file };
  await d.launch();
  const sum = { lived: 0, died: 0, refused: 0, failed: 0, acks: 0, once: 0, joined: 0 };
  for (const [n, shot] of shots.entries()) {
    const r = await shoot(t, d, gun, n, shot);
    sum[r.ends]++;
    for (const key of ['refused', 'failed', 'acks', 'once', 'joined']) sum[key] += r[key];
  }
  assert.equal(await d.stop(), 0);
  const check = spawnSync('sqlite3', [path.join(d.dataDir, 'holdfast.db'), 'PRAGMA integrity_check'], { encoding: 'utf8' });
  if (!check.error) assert.equal(check.stdout, 'ok\n');
  t.test.diagnostic(`${shots.length} shots, ${sum.failed} calls failed: went on ${sum.lived} times, ended itself ${sum.died} times, ${sum.refused} publishes refused; ${sum.once} published once, ${sum.joined} visits`);
  if (sum.lived) assert.ok(sum.acks > 0 && sum.once > 0 && sum.joined > 0, JSON.stringify(sum));
  return sum;
}

const many = (n, make) => [...Array(n * SHOTS).keys()].map(make);

claim('the n-th allocation fails', { ms: 300e3 * SHOTS, skip }, async (t) => {
  const r = random(21);
  await series(t, many(40, (i) => ({ kind: 'memory', at: 1 + r.int(i % 2 ? 300 : 5000) })));
});

claim('the n-th write to the disk fails, once or several times', { ms: 300e3 * SHOTS, skip }, async (t) => {
  const r = random(22);
  const sum = await series(t, many(20, (i) => ({ kind: 'write', at: 1 + r.int(200), times: [1, 3, 30][i % 3], errno: i % 2 ? EIO : ENOSPC })));
  assert.equal(sum.died, 0);
  assert.ok(sum.refused > 0, 'nobody was told');
});

claim('the n-th sync fails', { ms: 300e3 * SHOTS, skip }, async (t) => {
  const r = random(23);
  const sum = await series(t, many(20, (i) => ({ kind: 'sync', at: 1 + r.int(50), times: [1, 3, 10][i % 3], errno: i % 2 ? EIO : ENOSPC })));
  assert.equal(sum.died, 0);
  assert.ok(sum.refused > 0, 'nobody was told');
});

claim('sends fail', { ms: 300e3 * SHOTS, skip }, async (t) => {
  const r = random(24);
  const sum = await series(t, many(20, (i) => ({ kind: 'send', at: 1 + r.int(100), times: 1 + r.int(5), errno: [ENOBUFS, ENOMEM, EPIPE, EAGAIN][i % 4] })));
  assert.equal(sum.died, 0);
});

claim('accepting fails: whoever came is served later', { ms: 120e3, skip }, async (t) => {
  const d = await t.daemon();
  await d.stop();
  const gun = new Gun(d.dir);
  d.env = { LD_PRELOAD: shim, FAIL_SHIM: gun.file };
  await d.launch();
  for (const errno of [EMFILE, ENFILE, ECONNABORTED, ENOBUFS, ENOMEM, os.constants.errno.EINTR, os.constants.errno.EPROTO]) {
    gun.fire('accept', 1, 3, errno);
    const c = await t.raw(d);
    const a = await c.ask('GET', '/healthz', { ms: 15000 });
    assert.equal(a.status, 200, `errno ${errno}`);
    assert.ok(gun.failed('accept') > 0);
    gun.rest();
    c.close?.();
  }
  assert.equal(await d.stop(), 0);
});

// It can only fail when the counter is full, which it never is: the daemon would not know any more whom it has woken.
claim('a wake-up between threads fails: the daemon ends itself, and nothing acknowledged is lost', { ms: 120e3, skip }, async (t) => {
  const sum = await series(t, many(4, (i) => ({ kind: 'wake', at: 1 + 7 * i, errno: EAGAIN })));
  assert.equal(sum.lived, 0);
});

claim('the n-th allocation of a start fails: it says so, and nothing is harmed', { ms: 300e3 * SHOTS, skip }, async (t) => {
  const d = await t.daemon();
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await d.publish('a', `${i}`)).id);
  await d.stop();
  const gun = new Gun(d.dir);
  const r = random(25);
  const ends = { refused: 0, aborted: 0, ran: 0 };
  for (let i = 0; i < 60 * SHOTS; i++) {
    gun.rest();
    gun.fire('memory', 1 + r.int(i % 2 ? 200 : 3000), 1, 0);
    d.env = { LD_PRELOAD: shim, FAIL_SHIM: gun.file };
    d.stderr = '';
    const ran = await d.launch().then(() => true, () => false);
    if (ran) {
      gun.rest();
      ends.ran++;
    } else {
      const { code, signal } = d.exit;
      assert.ok(signal === 'SIGABRT' ? LAST_WORDS.test(d.stderr) : code > 0 && d.stderr !== '', `${JSON.stringify(d.exit)} ${d.stderr}`);
      ends[signal ? 'aborted' : 'refused']++;
    }
    if (d.alive) await d.kill9();
    d.expectExit = true;
  }
  d.env = {};
  d.stderr = '';
  await d.launch();
  assert.deepEqual((await readHistory(d, 'a')).map((m) => m.json.id), ids);
  assert.doesNotMatch(d.stderr, /new_epoch/);
  t.test.diagnostic(JSON.stringify(ends));
});
