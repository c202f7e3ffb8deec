// SPDX-License-Identifier: MIT
// Clients that do not read: memory stays bounded, nothing is lost, the dead are found.

import { claim, assert } from './lib/claim.js';
import { until } from './lib/wait.js';
import { OP } from './lib/ws.js';

const MB = 1 << 20;
const options = { 'limits.out_queue_bytes': '64KiB', 'limits.replay_window_bytes': '32KiB', 'http.write_timeout': '60s', 'delivery.heartbeat': '20s' };

async function fill(d, channel, megabytes) {
  const body = `${'x'.repeat(9990)}\n`.repeat(100).split('\n').slice(0, 100);
  let n = 0;
  for (let i = 0; i < megabytes; i++) {
    await d.publish(channel, body.map((line) => `${String(n++).padStart(8, '0')}${line}`).join('\n'), { query: '&batch=lines' });
  }
  return n;
}

for (const name of ['sse', 'websocket']) {
  claim(`a ${name} client that does not read costs bounded memory and gets everything in order when it reads again`, { ms: 60000 }, async (t) => {
    const d = await t.daemon({ options });
    const c = name === 'sse' ? await t.sse(d, '/v1/sse?channel=a') : await t.ws(d, '/v1/ws?channel=a');
    await c.hello();
    await fill(d, 'warm', 5);
    const before = d.rss();
    c.pause();
    const n = await fill(d, 'a', 60);
    const grown = d.rss() - before;
    assert.ok(grown < 40 * MB, `60 MB were published, the daemon grew by ${(grown / MB).toFixed(1)} MB`);
    assert.ok(await d.metric('holdfast_slow_consumers_total') >= 1);
    assert.equal(await d.metric('holdfast_subscribers_catching_up'), 1);
    c.resume();
    for (let i = 0; i < n; i++) {
      const m = await c.message(10000);
      assert.equal(Number(m.json.data.slice(0, 8)), i);
    }
    await d.untilMetric('holdfast_subscribers_catching_up', (v) => v === 0);
    await d.publish('a', 'live again');
    assert.equal((await c.message()).json.data, 'live again');
  });
}

claim('a slow client does not slow the others down', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options });
  const slow = await t.sse(d, '/v1/sse?channel=a');
  await slow.hello();
  slow.pause();
  const quick = await t.ws(d, '/v1/ws?channel=a');
  await quick.hello();
  const reading = quick.messages(2000, 15000);
  await fill(d, 'a', 20);
  assert.equal((await reading).length, 2000);
});

claim('a slow client that falls behind what is kept gets a gap and goes on', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options, config: { 'namespace few': { history_count: 50 } } });
  const s = await t.sse(d, '/v1/sse?channel=few:a');
  await s.hello();
  s.pause();
  const n = await fill(d, 'few:a', 30);
  s.resume();
  let next = 0, gaps = 0, last = null;
  while (next < n) {
    const e = await s.next(10000);
    if (e.data === null || e.event === 'heartbeat') continue;
    const json = JSON.parse(e.data);
    if (json.type === 'gap') {
      gaps++;
      assert.equal(json.reason, 'retention');
      if (last) assert.equal(json.from, last.id);
      last = { id: json.to };
      continue;
    }
    const i = Number(json.data.slice(0, 8));
    if (last) assert.equal(json.prev, last.id, `message ${i} does not follow what was told before`);
    assert.ok(i >= next);
    next = i + 1;
    last = json;
  }
  assert.ok(gaps >= 1, 'no gap was told');
});

claim('ephemeral messages are skipped for a client that is catching up, and counted', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  s.pause();
  const n = await fill(d, 'a', 20);
  await d.untilMetric('holdfast_subscribers_catching_up', (v) => v === 1);
  await d.publish('a', 'lost', { query: '&ephemeral=1' });
  await d.untilMetric('holdfast_ephemeral_skipped_total', (v) => v >= 1);
  s.resume();
  await s.messages(n, 10000);
  await d.publish('a', 'end');
  assert.equal((await s.message()).json.data, 'end');
});

claim('a client that takes no bytes is closed after the write timeout', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options: { ...options, 'http.write_timeout': '700ms' } });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  s.pause();
  await fill(d, 'a', 20);
  await d.untilMetric('holdfast_sessions{transport="sse"}', (v) => v === 0, 10000);
  assert.ok(await d.metric('holdfast_sessions_closed_total{reason="write-timeout"}') >= 1);
});

claim('a poll client that never reads its answer is closed after the write timeout', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options: { ...options, 'http.write_timeout': '700ms' } });
  await fill(d, 'a', 10);
  const c = await t.raw(d);
  c.socket.pause();
  await c.write('GET /v1/poll?channel=a&since=0 HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(60));
  await d.untilMetric('holdfast_sessions_closed_total{reason="write-timeout"}', (v) => v >= 1, 10000);
});

claim('a client that pipelines polls and never reads costs bounded memory', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options });
  await fill(d, 'a', 10);
  const before = d.rss();
  const c = await t.raw(d);
  c.socket.pause();
  c.write('GET /v1/poll?channel=a&since=0 HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(2000)); // 2 GB of answers
  await until(async () => (await d.metric('holdfast_http_requests_total')) > 5, 5000, 'some of it to be served');
  for (let i = 0; i < 50; i++) await d.metrics();
  const grown = d.rss() - before;
  assert.ok(grown < 120 * MB, `grew by ${(grown / MB).toFixed(1)} MB`);
});

claim('a WebSocket peer is pinged every heartbeat and may live on pongs', async (t) => {
  const d = await t.daemon({ options: { 'delivery.heartbeat': '200ms', 'websocket.pong_timeout': '400ms' } });
  const w = await t.rawWs(d);
  await w.json();
  for (let i = 0; i < 5; i++) {
    let f;
    do f = await w.next(); while (f.opcode !== OP.ping);
    await w.send(OP.pong, f.payload);
  }
});

claim('a WebSocket peer that does not answer a ping is closed', async (t) => {
  const d = await t.daemon({ options: { 'delivery.heartbeat': '200ms', 'websocket.pong_timeout': '400ms', 'websocket.close_timeout': '200ms', 'http.linger': '100ms' } });
  const w = await t.rawWs(d);
  await w.json();
  await w.raw.rest(6000, 'the end of a silent WebSocket');
  await d.untilMetric('holdfast_sessions_closed_total{reason="pong-timeout"}', (v) => v === 1);
});

claim('any frame of the peer counts as a sign of life', async (t) => {
  const d = await t.daemon({ options: { 'delivery.heartbeat': '200ms', 'websocket.pong_timeout': '400ms' } });
  const w = await t.rawWs(d);
  await w.json();
  let pings = 0;
  for (let i = 0; pings < 6; i++) {
    const f = await w.next();
    if (f.opcode !== OP.ping) continue;
    pings++;
    await w.send(OP.text, `{"type":"ping","ref":${i}}`);
  }
});

claim('a busy WebSocket that sends no pongs is found dead all the same', async (t) => {
  const d = await t.daemon({ options: { 'delivery.heartbeat': '200ms', 'websocket.pong_timeout': '500ms', 'websocket.close_timeout': '200ms', 'http.linger': '100ms' } });
  const w = await t.rawWs(d, '/v1/ws?channel=a');
  await w.json();
  let stop = false;
  const publishing = (async () => { while (!stop) await d.publish('a', 'busy'); })();
  await d.untilMetric('holdfast_sessions_closed_total{reason="pong-timeout"}', (v) => v === 1, 8000);
  stop = true;
  await publishing;
});
