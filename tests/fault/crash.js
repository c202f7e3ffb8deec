#!/usr/bin/env -S node --test-reporter=tap
// SPDX-License-Identifier: MIT
// kill -9 at any moment while everybody publishes at full speed and followers listen on every transport. What was acknowledged
// is in the log, what was delivered is in the log, ids are never used twice, the epoch stays, the file is sound.
// HOLDFAST_TEST_LONG=1: 200 cycles instead of half a minute of them (40 at least).

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { claim, assert, unbroken } from '../wire/lib/claim.js';
import { TRANSPORTS, readHistory } from '../wire/lib/follow.js';
import { random } from '../wire/lib/random.js';
import { WsClient } from '../wire/lib/ws.js';

const LONG = !!process.env.HOLDFAST_TEST_LONG;
const CYCLES = LONG ? 200 : 40;
const AT_LEAST_MS = LONG ? 0 : 30e3;
const CHANNELS = ['a', 'b', 'safe:a', 'c'];

const seqOf = (id) => BigInt(id.slice(id.lastIndexOf('.') + 1));
const isGone = (err) => /ECONN|EPIPE|socket hang up|was closed|ended|left|nothing within/.test(`${err.code} ${err.message}`);

class Round {
  acked = new Map(); // id → payload
  seen = new Map();  // id → payload, by anybody
  stop = false;

  constructor(t, d, n) { Object.assign(this, { t, d, n }); }

  // Publishes many at a time over one WebSocket.
  async overWebSocket(channel, k) {
    const sent = new Map();
    let w, ref = 0;
    const more = () => {
      const payload = `${this.n}.${k}.${ref}`;
      sent.set(ref, payload);
      w.send({ type: 'publish', channel, data: payload, ref: ref++ });
    };
    try {
      w = await WsClient.open(this.d, '/v1/ws');
      await w.hello();
      for (let i = 0; i < 100; i++) more();
      for (;;) {
        const { json } = await w.next(20000);
        if (json.type === 'ok') this.acked.set(json.id, sent.get(json.ref));
        else throw new Error(`publish: ${JSON.stringify(json)}`);
        if (!this.stop) more();
      }
    } catch (err) {
      if (!this.stop || !isGone(err)) throw err;
    } finally {
      w?.close();
    }
  }

  // Batches over HTTP: all of one or none.
  async overHttp(channel, k) {
    for (let i = 0; !this.stop; i++) {
      const lines = [...Array(1 + (i % 7)).keys()].map((j) => `${this.n}.${k}.${i}.${j}`);
      try {
        const receipt = await this.d.publish(channel, lines.join('\n'), { query: '&batch=lines' });
        receipt.ids.forEach((id, j) => this.acked.set(id, lines[j]));
      } catch (err) {
        if (!this.stop || !isGone(err)) throw err;
      }
    }
  }

  async follow(name, since) {
    const f = await this.t.follow(name, this.d, CHANNELS, { since });
    let last = seqOf(since);
    for (;;) {
      const item = await f.items.next(3600e3).catch(() => null);
      if (!item) break;
      assert.equal(item.json.type, 'message', `a gap over ${name}: ${item.raw}`);
      assert.ok(seqOf(item.json.id) > last, `${item.json.id} over ${name} is repeated`);
      last = seqOf(item.json.id);
      this.seen.set(item.json.id, item.json.data);
    }
    f.close();
  }
}

// The log, whole, must hold what the round has shown to anybody.
async function judge(round, d, since) {
  const log = new Map();
  for (const channel of CHANNELS) {
    const items = await readHistory(d, channel, since);
    unbroken(items);
    for (const { json } of items) log.set(json.id, json.data);
  }
  for (const [id, payload] of round.acked) assert.equal(log.get(id), payload, `the acknowledged message ${id}`);
  for (const [id, payload] of round.seen) assert.equal(log.get(id), payload, `${id} was delivered`);
  return log;
}

claim(`kill -9 at random moments of publishing at full speed, ${CYCLES} times`, { ms: LONG ? 580e3 : 240e3 }, async (t) => {
  const d = await t.daemon({ config: { 'namespace safe': { durability: 'sync' }, namespace: { history_count: 0 } } });
  const { epoch } = (await d.get('/v1/info')).json;
  const r = random(9);
  const began = Date.now();
  const known = new Map(); // every id ever shown or found → payload
  let newest = 0n, acked = 0, seen = 0, cycles = 0;
  while (cycles < CYCLES || Date.now() - began < AT_LEAST_MS) {
    const since = await d.cursor(CHANNELS[0]);
    const round = new Round(t, d, cycles++);
    const work = [round.overWebSocket('a', 0), round.overWebSocket('b', 1), round.overHttp('safe:a', 2), round.overHttp('c', 3),
      ...TRANSPORTS.map((name) => round.follow(name, since).catch((err) => { if (!round.stop || !isGone(err)) throw err; }))];
    const failed = Promise.all(work);
    failed.catch(() => {});
    await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 20 + r.int(400)))]); // lint: polls, for the moment of death
    round.stop = true;
    d.expectExit = true;
    d.signal('SIGKILL');
    await d.awaitExit();
    await d.kill9(); // its idle sockets
    await failed;
    await d.launch();
    assert.equal((await d.get('/v1/info')).json.epoch, epoch, 'another epoch');
    const log = await judge(round, d, since);
    for (const [id, payload] of log) {
      assert.ok(!known.has(id), `${id} was used before`);
      assert.ok(seqOf(id) > newest, `${id} is not beyond what was seen before`);
      known.set(id, payload);
    }
    for (const id of log.keys()) if (seqOf(id) > newest) newest = seqOf(id);
    acked += round.acked.size;
    seen += round.seen.size;
  }
  assert.ok(acked > 10 * cycles && seen > 10 * cycles, `only ${acked} acknowledged, ${seen} seen`);
  assert.equal(await d.stop(), 0);
  const check = spawnSync('sqlite3', [path.join(d.dataDir, 'holdfast.db'), 'PRAGMA integrity_check; SELECT count(*) FROM message'], { encoding: 'utf8' });
  if (check.error) t.test.diagnostic('no sqlite3 here: the file was not checked');
  else assert.deepEqual(check.stdout.trim().split('\n'), ['ok', `${known.size}`], check.stderr);
  t.test.diagnostic(`${cycles} cycles, ${acked} acknowledged, ${seen} different ones delivered, ${known.size} stored, ${((Date.now() - began) / 1000).toFixed(1)} s`);
});
