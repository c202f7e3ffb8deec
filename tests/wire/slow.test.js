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
    assert.ok(await d.metric('holdfast_slow_consumers_total{policy="lag"}') >= 1);
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

claim('a client that takes no bytes is closed after the write timeout', { ms: 120000 }, async (t) => {
  const d = await t.daemon({ options: { ...options, 'http.write_timeout': '700ms' } });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  s.pause();
  await fill(d, 'a', 20);
  await d.untilMetric('holdfast_sessions{transport="sse"}', (v) => v === 0, 60000);
  assert.ok(await d.metric('holdfast_sessions_closed_total{reason="write-timeout"}') >= 1);
});

claim('a poll client that never reads its answer is closed after the write timeout', { ms: 120000 }, async (t) => {
  const d = await t.daemon({ options: { ...options, 'http.write_timeout': '700ms' } });
  await fill(d, 'a', 10);
  const c = await t.raw(d);
  c.socket.pause();
  await c.write('GET /v1/poll?channel=a&since=0 HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(60));
  await d.untilMetric('holdfast_sessions_closed_total{reason="write-timeout"}', (v) => v >= 1, 60000);
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

// --- what a namespace wants done with a client that can not keep up ---

const policies = { 'namespace skip': { slow: 'skip' }, 'namespace cut': { slow: 'disconnect' } };

async function open(t, d, name, channels) {
  const q = channels.map((c) => `channel=${encodeURIComponent(c)}`).join('&');
  const c = name === 'sse' ? await t.sse(d, `/v1/sse?${q}`) : await t.ws(d, `/v1/ws?${q}`);
  await c.hello();
  return c;
}

// Messages and gaps up to the message with this data.
async function readTo(c, data) {
  const items = [];
  for (;;) {
    const e = await c.next(10000);
    const text = e.raw ?? e.data;
    if (text === null || e.event === 'heartbeat') continue;
    const json = JSON.parse(text);
    items.push(json);
    if (json.data === data) return items;
  }
}

for (const name of ['sse', 'websocket']) {
  claim(`${name}, slow = skip: one gap per stall and channel, with its bounds, then the newest`, { ms: 60000 }, async (t) => {
    const d = await t.daemon({ options, config: policies });
    const c = await open(t, d, name, ['skip:a', 'skip:b', 'quiet']);
    await d.publish('skip:a', 'first');
    const [first] = await readTo(c, 'first');
    c.pause();
    const n = await fill(d, 'skip:a', 30);
    const b = await d.publish('skip:b', 'b');
    await d.untilMetric('holdfast_slow_consumers_total{policy="skip"}', (v) => v === 1);
    const newest = (await d.admin('/v1/admin/channel?channel=skip:a')).json.head;
    c.resume();
    await d.untilMetric('holdfast_subscribers_catching_up', (v) => v === 0);
    await d.publish('skip:a', 'end');
    const items = await readTo(c, 'end');
    const gaps = items.filter((i) => i.type === 'gap');
    assert.deepEqual(gaps.map((g) => [g.channel, g.to, g.oldest, g.reason]).sort(),
      [['skip:a', newest, null, 'skipped'], ['skip:b', b.id, null, 'skipped']]);
    // What came before the gap leads up to it without a hole, what comes behind goes on from it.
    let last = first.id;
    for (const i of items) {
      if (i.channel !== 'skip:a') continue;
      if (i.type === 'gap') assert.equal(i.from, last);
      else assert.equal(i.prev, last);
      last = i.to ?? i.id;
    }
    assert.ok(items.length < n);
    assert.equal(await d.metric('holdfast_gaps_total{reason="skipped"}'), 2);
    // It is skipped, not lost.
    const log = await d.get(`/v1/history?channel=skip:a&since=${gaps.find((g) => g.channel === 'skip:a').from}&limit=3`);
    assert.equal(log.json.messages.length, 3);
  });

  claim(`${name}, slow = disconnect: goodbye with reason slow, and the client comes back with its id and loses nothing`, { ms: 60000 }, async (t) => {
    const d = await t.daemon({ options, config: policies });
    const c = await open(t, d, name, ['cut:a']);
    await d.publish('cut:a', 'first');
    const seen = await readTo(c, 'first');
    c.pause();
    const n = await fill(d, 'cut:a', 30);
    await d.untilMetric('holdfast_slow_consumers_total{policy="disconnect"}', (v) => v === 1);
    c.resume();
    let goodbye = null;
    while (!goodbye) {
      const e = await c.next(10000);
      const text = e.raw ?? e.data;
      if (text === null) continue;
      const json = JSON.parse(text);
      if (json.type === 'goodbye') goodbye = json;
      else if (json.type === 'message') seen.push(json);
    }
    assert.deepEqual(goodbye, { type: 'goodbye', reason: 'slow', reconnect: true, delay_ms: 0 });
    const end = await c.end();
    if (name === 'websocket') assert.deepEqual(end, { code: 1008, reason: 'slow' });
    else assert.equal(end, 'last chunk');
    await d.untilMetric('holdfast_sessions_closed_total{reason="slow"}', (v) => v === 1);
    const f = await t.follow('longpoll', d, ['cut:a'], { since: seen.at(-1).id });
    for (const m of await f.take(n + 1 - seen.length)) {
      assert.equal(m.json.prev, seen.at(-1).id);
      seen.push(m.json);
    }
    assert.equal(await d.metric('holdfast_subscribers_catching_up'), 0);
  });

  claim(`${name}: of channels in several namespaces the strictest policy holds`, { ms: 60000 }, async (t) => {
    const d = await t.daemon({ options, config: policies });
    const c = await open(t, d, name, ['a', 'skip:a']);
    c.pause();
    await fill(d, 'a', 20);
    await d.untilMetric('holdfast_slow_consumers_total{policy="skip"}', (v) => v === 1);
    const e = await open(t, d, name, ['skip:b', 'b', 'cut:b']);
    e.pause();
    await fill(d, 'b', 20);
    await d.untilMetric('holdfast_slow_consumers_total{policy="disconnect"}', (v) => v === 1);
    assert.equal(await d.metric('holdfast_slow_consumers_total{policy="lag"}'), 0);
  });
}

claim('a disconnected client that reads nothing at all is gone after the write timeout, with the reason slow', { ms: 120000 }, async (t) => {
  const d = await t.daemon({ options: { ...options, 'http.write_timeout': '700ms', 'websocket.close_timeout': '500ms' }, config: policies });
  for (const name of ['sse', 'websocket']) {
    const c = await open(t, d, name, ['cut:a']);
    c.pause();
  }
  await fill(d, 'cut:a', 20);
  await d.untilMetric('holdfast_sessions_closed_total{reason="slow"}', (v) => v === 2, 60000);
  await d.untilMetric('holdfast_subscriptions', (v) => v === 0); // another thread counts, and not all at once
});

claim('slow = skip over a raw WebSocket skips in silence', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options, config: policies });
  const w = await t.ws(d, '/v1/ws?channel=skip:a&format=raw');
  await d.publish('skip:a', 'first');
  assert.equal((await w.frames.next()).raw, 'first');
  w.pause();
  await fill(d, 'skip:a', 20);
  await d.untilMetric('holdfast_slow_consumers_total{policy="skip"}', (v) => v === 1);
  w.resume();
  await d.untilMetric('holdfast_subscribers_catching_up', (v) => v === 0);
  await d.publish('skip:a', 'end');
  await w.frames.find((f) => f.raw === 'end', 10000);
});

claim('long polls lag, whatever the policy: a reply is cut and the next one goes on', async (t) => {
  const d = await t.daemon({ options: { ...options, 'delivery.poll_messages': '5' }, config: policies });
  for (const channel of ['skip:a', 'cut:a']) {
    const f = await t.follow('longpoll', d, [channel]);
    const lines = [...Array(23).keys()].join('\n');
    await d.publish(channel, lines, { query: '&batch=lines' });
    assert.deepEqual((await f.take(23)).map((m) => Number(m.json.data)), [...Array(23).keys()]);
    f.close();
  }
});
