// SPDX-License-Identifier: MIT
// Server-Sent Events.

import { claim, shared, assert, refused, fresh } from './lib/claim.js';
import { SseClient } from './lib/sse.js';
import { until } from './lib/wait.js';
import { members } from './lib/envelope.js';

const daemon = shared({ options: { 'limits.last_limit': 100, 'limits.channels_per_subscription': 8 } });

claim('a stream has the headers that keep proxies from buffering it', async (t) => {
  const s = await t.sse(await daemon(t), `/v1/sse?channel=${fresh()}`);
  assert.equal(s.status, 200);
  assert.match(s.headers['content-type'], /^text\/event-stream/);
  assert.equal(s.headers['cache-control'], 'no-cache, no-transform');
  assert.equal(s.headers['x-accel-buffering'], 'no');
  assert.equal(s.headers['access-control-allow-origin'], '*');
  assert.equal(s.headers['transfer-encoding'], 'chunked');
  assert.ok(s.headers.date);
});

claim('retry comes first, then hello, before any message', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'old');
  const s = await t.sse(d, `/v1/sse?channel=${ch}&since=0`);
  const first = await s.next();
  assert.equal(first.retry, 2000);
  const hello = first.event === 'hello' ? { ...first, json: JSON.parse(first.data) } : await s.hello();
  const info = (await d.get('/v1/info')).json;
  assert.equal(hello.json.type, 'hello');
  assert.equal(typeof hello.json.session, 'string');
  assert.equal(hello.json.epoch, info.epoch);
  assert.equal(hello.json.heartbeat, 25);
  assert.deepEqual(hello.json.limits, info.limits);
  assert.equal(hello.id, null);
  assert.equal((await s.message()).json.data, 'old');
});

claim('a message is an unnamed event with its id and the envelope', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const before = Date.now();
  const r = await d.publish(ch, '{"a":[1,2.50,"x"]}', { type: 'application/json' });
  const e = await s.message();
  assert.equal(e.event, '');
  assert.equal(e.id, r.id);
  assert.deepEqual(members(e.data).map(([n]) => n), ['type', 'channel', 'id', 'prev', 'ts', 'data']);
  assert.ok(e.data.endsWith(',"data":{"a":[1,2.50,"x"]}}'), e.data);
  assert.equal(e.json.channel, ch);
  assert.equal(e.json.prev, null);
  assert.ok(Math.abs(e.json.ts - before) < 10000);
});

claim('several channels come in one stream in the order of the log', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  const s = await t.sse(d, `/v1/sse?channel=${a}&channel=${b}`);
  await s.hello();
  const sent = [];
  for (let i = 0; i < 20; i++) sent.push((await d.publish(i % 3 ? a : b, `${i}`)).id);
  const got = await s.messages(20);
  assert.deepEqual(got.map((m) => m.id), sent);
  assert.deepEqual(got.map((m) => m.json.data), [...Array(20).keys()].map(String));
});

claim('a channel that is named twice counts once', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}&channel=${ch}&since=0`);
  await s.hello();
  await d.publish(ch, '1');
  await d.publish(ch, '2');
  assert.deepEqual((await s.messages(2)).map((m) => m.json.data), ['1', '2']);
});

claim('nothing of other channels is delivered', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  for (const other of [`${ch}x`, ch.slice(0, -1) + '%', ch.toUpperCase(), `${ch}:a`]) await d.publish(other, 'no');
  await d.publish(ch, 'yes');
  assert.equal((await s.message()).json.data, 'yes');
});

claim('since gives what came after it, then what comes live', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await d.publish(ch, `${i}`)).id);
  const s = await t.sse(d, `/v1/sse?channel=${ch}&since=${ids[1]}`);
  await s.hello();
  await d.publish(ch, 'live');
  assert.deepEqual((await s.messages(4)).map((m) => m.json.data), ['2', '3', '4', 'live']);
});

claim('Last-Event-ID wins over since and last', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await d.publish(ch, `${i}`)).id);
  for (const q of [`since=${ids[0]}`, 'last=5', 'since=0&last=1']) {
    const s = await t.sse(d, `/v1/sse?channel=${ch}&${q}`, { headers: { 'Last-Event-ID': ids[3] } });
    await s.hello();
    assert.equal((await s.message()).json.data, '4', q);
    s.close();
  }
});

claim('since wins over last', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await d.publish(ch, `${i}`)).id);
  const s = await t.sse(d, `/v1/sse?channel=${ch}&since=${ids[2]}&last=1`);
  await s.hello();
  assert.deepEqual((await s.messages(2)).map((m) => m.json.data), ['3', '4']);
});

claim('an empty since or Last-Event-ID counts as not given', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'old');
  const s = await t.sse(d, `/v1/sse?channel=${ch}&since=`, { headers: { 'Last-Event-ID': '' } });
  await s.hello();
  await d.publish(ch, 'new');
  assert.equal((await s.message()).json.data, 'new');
});

claim('an empty Last-Event-ID leaves since in force', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'old');
  const s = await t.sse(d, `/v1/sse?channel=${ch}&since=0`, { headers: { 'Last-Event-ID': '' } });
  await s.hello();
  assert.equal((await s.message()).json.data, 'old');
});

claim('last=N gives the newest N of each channel in the order of the log', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  for (let i = 0; i < 4; i++) {
    await d.publish(a, `a${i}`);
    await d.publish(b, `b${i}`);
  }
  const s = await t.sse(d, `/v1/sse?channel=${a}&channel=${b}&last=2`);
  await s.hello();
  await d.publish(a, 'live');
  assert.deepEqual((await s.messages(5)).map((m) => m.json.data), ['a2', 'b2', 'a3', 'b3', 'live']);
});

claim('last=0 means from now on', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'old');
  const s = await t.sse(d, `/v1/sse?channel=${ch}&last=0`);
  await s.hello();
  await d.publish(ch, 'new');
  assert.equal((await s.message()).json.data, 'new');
});

claim('resuming from the cursor of hello gives what the subscription would have given', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 4; i++) ids.push((await d.publish(ch, `${i}`)).id);
  for (const q of ['', '&last=2', `&since=${ids[0]}`, '&since=0']) {
    const s = await t.sse(d, `/v1/sse?channel=${ch}${q}`);
    const { cursor } = (await s.hello()).json;
    const again = await t.sse(d, `/v1/sse?channel=${ch}&since=${cursor}`);
    await again.hello();
    const mark = await d.publish(ch, `mark${q}`);
    const read = async (c) => {
      const out = [];
      for (;;) {
        const m = await c.message();
        out.push(m.data);
        if (m.id === mark.id) return out;
      }
    };
    assert.deepEqual(await read(again), await read(s), q);
    s.close();
    again.close();
  }
});

claim('line ends inside the JSON become several data lines', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const pretty = '{\n  "a": 1,\n\n  "b": [\n    2\n  ]\n}';
  await d.publish(ch, pretty, { type: 'application/json' });
  assert.ok((await s.message()).data.endsWith(`,"data":${pretty}}`));
  await d.publish(ch, pretty.replaceAll('\n', '\r\n'), { type: 'application/json' });
  assert.deepEqual((await s.message()).json.data, JSON.parse(pretty));
  await d.publish(ch, '[\r1,\r\r2]', { type: 'application/json' });
  assert.deepEqual((await s.message()).json.data, [1, 2]);
  await d.publish(ch, 'text\nwith\r\nline\rends');
  assert.equal((await s.message()).json.data, 'text\nwith\r\nline\rends');
});

claim('an ephemeral message has no id and does not move the last id', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  await d.publish(ch, 'stored');
  await d.publish(ch, 'passing', { query: '&ephemeral=1' });
  const stored = await s.message();
  const e = await s.message();
  assert.equal(e.id, null);
  assert.equal(e.json.id, undefined);
  assert.equal(e.json.prev, undefined);
  assert.equal(e.json.data, 'passing');
  assert.equal(s.lastId, stored.id);
});

claim('a gap is a named event without id, before the messages', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await d.publish(ch, 'x');
  const s = await t.sse(d, `/v1/sse?channel=${ch}&since=otherlog.5`);
  await s.hello();
  const g = await s.gap();
  assert.equal(g.id, null);
  assert.deepEqual(g.json, { type: 'gap', channel: ch, from: 'otherlog.5', to: g.json.to, oldest: r.id, reason: 'epoch' });
  assert.equal((await s.message()).json.data, 'x');
});

claim('format=raw gives the bare payload', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}&format=raw`);
  await s.hello();
  const cases = [['plain text', 'text/plain', 'plain text'], ['two\nlines', 'text/plain', 'two\nlines'], ['{"a": 1}', 'application/json', '{"a": 1}'],
    [Buffer.from([0, 1, 255]), 'application/octet-stream', 'AAH/'], ['', 'text/plain', ''], [' leading', 'text/plain', ' leading']];
  for (const [payload, type, shown] of cases) {
    const r = await d.publish(ch, payload, { type });
    const e = await s.next();
    assert.equal(e.data, shown);
    assert.equal(e.id, r.id);
    assert.equal(e.event, '');
  }
});

claim('a heartbeat is a comment line and a named event', async (t) => {
  const d = await t.daemon({ options: { 'delivery.heartbeat': '200ms' } });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  const e = await s.expect('heartbeat', 3000);
  assert.deepEqual(e.comments, ['heartbeat']);
  assert.equal(e.id, null);
  assert.ok(Math.abs(e.json.ts - Date.now()) < 5000);
  await s.expect('heartbeat', 3000);
});

claim('a probe comes when the stream has been quiet for the first time, and behind all that was sent', async (t) => {
  const d = await t.daemon(); // its heartbeat comes after 25 s
  const s = await t.sse(d, '/v1/sse?channel=busy&probe=1');
  await s.hello();
  const began = Date.now();
  let n = 0;
  while (Date.now() - began < 400) await d.publish('busy', `m${n++}`);
  let last = 0, got = 0;
  for (;;) {
    const e = await s.next(3000);
    const json = JSON.parse(e.data);
    if (e.event === 'heartbeat') {
      assert.ok(json.ts - last >= 95, `the probe came ${json.ts - last} ms after a message`);
      break;
    }
    last = json.ts;
    got++;
  }
  for (; got < n; got++) await s.message(); // a slow machine was quiet for long enough before the end
});

claim('three probes come after ever longer quiet, then heartbeats as usual', async (t) => {
  const d = await t.daemon();
  const s = await t.sse(d, '/v1/sse?channel=quiet&probe=1');
  await s.hello();
  const at = [];
  for (let i = 0; i < 3; i++) at.push((await s.expect('heartbeat', 4000)).json.ts);
  assert.ok(at[1] - at[0] >= 395, `${at}`);
  assert.ok(at[2] - at[1] >= 1595, `${at}`);
  const plain = await t.sse(d, '/v1/sse?channel=quiet');
  await plain.hello();
  await d.publish('quiet', 'x');
  await plain.message(); // and no heartbeat before it
});

claim('a stream that is busy carries no heartbeats', async (t) => {
  const d = await t.daemon({ options: { 'delivery.heartbeat': '600ms' } });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  const end = Date.now() + 1500;
  let n = 0;
  while (Date.now() < end) {
    await d.publish('a', `${n}`);
    const e = await s.next();
    assert.equal(e.event, '', `a ${e.event} between messages`);
    n++;
  }
});

claim('the retry delay follows the option', async (t) => {
  const d = await t.daemon({ options: { 'delivery.sse_retry': '750ms' } });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  assert.equal(s.retry, 750);
});

claim('HTTP/1.0 clients get the stream without chunks', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`, { version: '1.0' });
  assert.equal(s.status, 200);
  assert.equal(s.headers['transfer-encoding'], undefined);
  assert.equal(s.headers['content-length'], undefined);
  await s.hello();
  await d.publish(ch, 'x');
  assert.equal((await s.message()).json.data, 'x');
});

claim('a stream may follow other requests on one connection', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'x');
  const c = await t.raw(d);
  await c.write(`GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/sse?channel=${ch}&since=0 HTTP/1.1\r\nHost: h\r\n\r\n`);
  assert.equal((await c.response()).status, 200);
  assert.equal((await c.head()).status, 200);
  await c.readUntil('"data":"x"}');
});

claim('a stream is split anywhere on its way and still whole', async (t) => {
  const d = await daemon(t);
  const p = await t.proxy(d, { split: 5, seed: 11 });
  const ch = fresh();
  const s = await t.sse(p, `/v1/sse?channel=${ch}`);
  await s.hello();
  const text = 'ünïcödé 🎈 '.repeat(50);
  for (let i = 0; i < 5; i++) await d.publish(ch, `${i} ${text}`);
  assert.deepEqual((await s.messages(5, 10000)).map((m) => m.json.data), [...Array(5).keys()].map((i) => `${i} ${text}`));
});

claim('a client that leaves is forgotten', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const count = async () => (await d.admin(`/v1/admin/channel?channel=${ch}`)).json.subscribers ?? 0;
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  assert.equal(await count(), 1);
  s.close();
  await until(async () => (await count()) === 0, 5000, 'the subscriber to be gone');
});

for (const [q, code] of [
  ['', 'no_channel'], ['channel=', 'bad_channel'], ['channel=a%20b', 'bad_channel'], ['channel=a*', 'bad_channel'], ['channel=%C3%A4', 'bad_channel'],
  [`channel=${'a'.repeat(256)}`, 'bad_channel'], ['channel=a%0Ab', 'bad_channel'], ['channel=a&last=-1', 'bad_parameter'], ['channel=a&last=x', 'bad_parameter'], ['channel=a&last=1.5', 'bad_parameter'],
  ['channel=a&last=101', 'bad_parameter'], ['channel=a&format=xml', 'bad_parameter'],
  [[...Array(9).keys()].map((i) => `channel=c${i}`).join('&'), 'too_many_channels'],
]) {
  claim(`/v1/sse?${q.slice(0, 40)} is refused with ${code}`, async (t) => {
    const s = await SseClient.open(await daemon(t), `/v1/sse?${q}`);
    refused({ ...s, text: JSON.stringify(s.json) }, 400, code);
    s.close();
  });
}

claim('unknown parameters are ignored, names of 255 bytes and odd characters are fine', async (t) => {
  const d = await daemon(t);
  for (const ch of ['a'.repeat(255), '!"#$%&\'()+,-./:;<=>?@[\\]^_`{|}~', 'chat:room:1', ':', '0']) {
    const s = await t.sse(d, `/v1/sse?channel=${encodeURIComponent(ch)}&colour=red`);
    assert.equal(s.status, 200, ch);
    await s.hello();
    await d.publish(ch, 'x');
    assert.equal((await s.message()).json.channel, ch);
    s.close();
  }
});

daemon.ends();
