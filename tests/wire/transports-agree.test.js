// SPDX-License-Identifier: MIT
// All transports tell the same story: the same bytes, the same ids, the same order.

import { claim, shared, assert, fresh } from './lib/claim.js';
import { TRANSPORTS, query, readHistory } from './lib/follow.js';
import { compareIds } from './lib/envelope.js';
import { random } from './lib/random.js';

const daemon = shared({ options: { 'delivery.poll_messages': 60, 'limits.history_limit': 45, 'limits.recent_count': 100 } });

const KINDS = [
  (r, i) => [`{"n":${i},"f":${r.next()},"s":"${'x'.repeat(r.int(50))}"}`, 'application/json'],
  (r, i) => [`[ ${i} ,\n  "pretty",\n\t{ }\n]`, 'application/json'],
  (r, i) => [`{\r\n  "crlf": ${i}\r\n}`, 'application/json'],
  (r, i) => [`${i}e0`, 'application/json'],
  () => ['"\\u0000\\ud83c\\udf88 \u2028 é"', 'application/json'],
  (r, i) => [`text ${i} "quoted" \\ \t ü 🎈 \u2029`, 'text/plain'],
  () => ['lines\nand\r\nmore\rlines\n', 'text/plain'],
  () => ['nul \0 inside', 'text/plain'],
  () => ['', 'text/plain'],
  (r) => [r.bytes(r.int(300)), 'application/octet-stream'],
  (r) => [Buffer.concat([Buffer.from('bad utf-8 '), Buffer.from([0xff, 0xc0, 0x80])]), 'text/plain'],
  (r, i) => [`<b>${i}</b>`, 'text/html'],
  (r) => [r.bytes(40), 'image/png'],
  (r, i) => [`{"a":${i}}`, null],
  (r, i) => [`word ${i}`, null],
  (r) => ['long '.repeat(500 + r.int(2000)), 'text/plain'],
  () => ['data: looks like SSE\n\nevent: x\nid: 5\n', 'text/plain'],
  () => ['{"type":"message","id":"evil.1"}', 'application/json'],
];

// SSE cannot carry CR: its line ends all arrive as LF.
const lines = (s) => s.replace(/\r\n|\r/g, '\n');

claim('500 messages of many kinds in 5 channels are the same live, replayed and in history, over all transports', { ms: 60000 }, async (t) => {
  const d = await daemon(t);
  const r = random(42);
  const channels = [...Array(5)].map(() => fresh('agree'));
  const start = await d.cursor(channels[0]);
  const live = new Map();
  for (const name of TRANSPORTS) live.set(name, await t.follow(name, d, channels, { since: start }));

  const ids = [];
  for (let i = 0; i < 500; i++) {
    const [payload, type] = KINDS[i % KINDS.length](r, i);
    ids.push((await d.publish(r.pick(channels), payload, { type })).id);
  }

  const told = new Map();
  for (const [name, f] of live) told.set(`${name} live`, (await f.take(500, 20000)).map((m) => m.raw));
  for (const name of TRANSPORTS) {
    const f = await t.follow(name, d, channels, { since: start });
    told.set(`${name} replayed`, (await f.take(500, 20000)).map((m) => m.raw));
    f.close();
  }
  const pages = [];
  for (const ch of channels) pages.push(...await readHistory(d, ch, start));
  pages.sort((a, b) => compareIds(a.json.id, b.json.id));
  told.set('history', pages.map((m) => m.raw));

  const truth = told.get('websocket live');
  assert.deepEqual(truth.map((raw) => JSON.parse(raw).id), ids);
  for (const [name, raws] of told) {
    assert.equal(raws.length, 500, name);
    const same = name.startsWith('sse') ? lines : (s) => s;
    for (let i = 0; i < 500; i++) {
      if (raws[i] !== same(truth[i])) assert.fail(`${name} and websocket live differ in message ${i}:\n${JSON.stringify(raws[i].slice(0, 400))}\n${JSON.stringify(truth[i].slice(0, 400))}`);
    }
  }
});

claim('gaps are the same object over all transports', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'x');
  const gaps = [];
  for (const name of TRANSPORTS) {
    const f = await t.follow(name, d, [ch], { since: 'elsewhere.9' });
    gaps.push(JSON.stringify(await f.takeGap()));
    assert.equal((await f.take(1))[0].json.data, 'x');
    f.close();
  }
  gaps.push(JSON.stringify((await d.get(`/v1/history?${query([ch], { since: 'elsewhere.9' })}`)).json.gaps[0]));
  for (const g of gaps) assert.equal(g, gaps[0]);
});

claim('ephemeral messages are the same over all transports', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const since = await d.cursor(ch);
  const fs = [];
  for (const name of ['websocket', 'sse', 'longpoll']) fs.push(await t.follow(name, d, [ch], { since }));
  await d.untilMetric('holdfast_sessions{transport="longpoll"}', (n) => n >= 1);
  await d.publish(ch, '{"typing":  true}', { type: 'application/json', query: '&ephemeral=1' });
  const raws = [];
  for (const f of fs) raws.push((await f.take(1))[0].raw);
  for (const raw of raws) assert.equal(raw, raws[0]);
});

claim('subscribers that come at any moment see the same, without hole or repeat', { ms: 60000 }, async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  const start = await d.cursor(a);
  const r = random(43);
  const N = 400;
  const followers = [];
  for (let i = 0; i < N; i++) {
    await d.publish(r.int(2) ? a : b, `${i}`);
    if (i % 25 === 5) followers.push(t.follow(r.pick(TRANSPORTS), d, [a, b], { since: start }));
  }
  for (const f of await Promise.all(followers)) {
    assert.deepEqual((await f.take(N, 20000)).map((m) => Number(m.json.data)), [...Array(N).keys()], f.transport);
    f.close();
  }
});

daemon.ends();
