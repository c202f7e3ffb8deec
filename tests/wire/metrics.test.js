// SPDX-License-Identifier: MIT
// /metrics is well-formed Prometheus text, and the counters move as they should.

import { claim, shared, assert, fresh } from './lib/claim.js';

const daemon = shared();

// Strict reading of the text format: {families: Map(name → {type, help, samples})}.
function parse(text) {
  assert.ok(text.endsWith('\n'), 'the last line is not ended');
  const families = new Map();
  const seen = new Set();
  let current = null;
  for (const line of text.slice(0, -1).split('\n')) {
    let m;
    if ((m = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line))) {
      if (!families.has(m[2])) families.set(m[2], { samples: [] });
      const f = families.get(m[2]);
      const key = m[1].toLowerCase();
      assert.equal(f[key], undefined, `${m[1]} of ${m[2]} twice`);
      assert.equal(f.samples.length, 0, `${m[1]} of ${m[2]} after its samples`);
      if (key === 'type') assert.match(m[3], /^(counter|gauge|histogram|summary|untyped)$/);
      f[key] = m[3];
      current = m[2];
      continue;
    }
    m = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$/.exec(line);
    assert.ok(m, `bad line ${JSON.stringify(line)}`);
    const id = line.slice(0, line.lastIndexOf(' '));
    assert.ok(!seen.has(id), `${id} twice`);
    seen.add(id);
    const family = families.has(m[1]) ? m[1] : m[1].replace(/_(bucket|sum|count)$/, '');
    assert.ok(families.has(family), `${m[1]} without TYPE`);
    assert.equal(family, current, `the samples of ${family} do not stand together`);
    families.get(family).samples.push({ name: m[1], labels: m[2] ?? '', value: Number(m[4]) });
  }
  return families;
}

claim('the text is well-formed, with help and type for every family', async (t) => {
  const d = await daemon(t);
  await d.publish(fresh(), 'x');
  const a = await d.get('/metrics');
  assert.match(a.headers['content-type'], /^text\/plain; version=0\.0\.4/);
  const families = parse(a.text);
  assert.ok(families.size > 25);
  for (const [name, f] of families) {
    assert.ok(f.help, `${name} without HELP`);
    assert.ok(f.type, `${name} without TYPE`);
    assert.ok(f.samples.length, `${name} without samples`);
    assert.ok(name.startsWith('holdfast_') || name.startsWith('process_'), name);
    if (f.type === 'counter') assert.match(name, /_total$/);
    for (const s of f.samples) assert.ok(f.type !== 'counter' || s.value >= 0);
  }
});

claim('histograms are cumulative and end with +Inf', async (t) => {
  const d = await daemon(t);
  for (let i = 0; i < 5; i++) await d.publish(fresh(), 'x');
  const families = parse((await d.get('/metrics')).text);
  const histograms = [...families].filter(([, f]) => f.type === 'histogram');
  assert.ok(histograms.length >= 3);
  for (const [name, f] of histograms) {
    assert.match(name, /_seconds$/);
    const buckets = f.samples.filter((s) => s.name === `${name}_bucket`);
    const edges = buckets.map((b) => Number(/le="([^"]+)"/.exec(b.labels)[1].replace('+Inf', 'Infinity')));
    assert.equal(edges.at(-1), Infinity);
    for (let i = 1; i < buckets.length; i++) {
      assert.ok(edges[i] > edges[i - 1]);
      assert.ok(buckets[i].value >= buckets[i - 1].value, `${name} is not cumulative`);
    }
    assert.equal(f.samples.find((s) => s.name === `${name}_count`).value, buckets.at(-1).value);
    assert.ok(f.samples.find((s) => s.name === `${name}_sum`).value >= 0);
  }
});

claim('publishes and deliveries are counted', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const w = await t.ws(d, `/v1/ws?channel=${ch}`);
  await w.hello();
  const before = await d.metrics();
  for (let i = 0; i < 5; i++) await d.publish(ch, 'x');
  await d.publish(ch, 'a\nb\nc', { query: '&batch=lines' });
  await d.publish(ch, 'x', { query: '&ephemeral=1' });
  await s.messages(9);
  await w.messages(9);
  const after = await d.metrics();
  const moved = (name) => after.get(name) - before.get(name);
  assert.equal(moved('holdfast_messages_published_total{durability="commit"}'), 8);
  assert.equal(moved('holdfast_messages_published_total{durability="ephemeral"}'), 1);
  assert.equal(moved('holdfast_messages_delivered_total{transport="sse"}'), 9);
  assert.equal(moved('holdfast_messages_delivered_total{transport="websocket"}'), 9);
  assert.ok(moved('holdfast_commits_total') >= 1 && moved('holdfast_commits_total') <= 6);
  assert.ok(moved('holdfast_bytes_sent_total') > 0);
  assert.ok(moved('holdfast_bytes_received_total') > 0);
});

claim('a message is encoded once per format and worker, however many subscribe', async (t) => {
  const d = await t.daemon({ options: { 'server.workers': 1 } });
  const all = [];
  for (let i = 0; i < 20; i++) all.push(await t.sse(d, '/v1/sse?channel=a'));
  for (const s of all) await s.hello();
  const before = await d.metric('holdfast_frames_encoded_total');
  for (let i = 0; i < 10; i++) await d.publish('a', `${i}`);
  for (const s of all) await s.messages(10);
  const encoded = await d.metric('holdfast_frames_encoded_total') - before;
  assert.ok(encoded >= 10 && encoded <= 20, `${encoded} frames were encoded for 10 messages`);
});

claim('gauges of sessions and subscriptions follow those who come and go', async (t) => {
  const d = await t.daemon();
  const s = await t.sse(d, '/v1/sse?channel=a&channel=b');
  await s.hello();
  const w = await t.ws(d, '/v1/ws?channel=a');
  await w.hello();
  assert.equal(await d.metric('holdfast_sessions{transport="sse"}'), 1);
  assert.equal(await d.metric('holdfast_sessions{transport="websocket"}'), 1);
  assert.equal(await d.metric('holdfast_subscriptions'), 3);
  s.close();
  w.close();
  await d.untilMetric('holdfast_subscriptions', (n) => n === 0);
  assert.equal(await d.metric('holdfast_sessions{transport="sse"}'), 0);
});

claim('refusals are counted', async (t) => {
  const d = await daemon(t);
  const before = await d.metric('holdfast_http_requests_refused_total');
  await d.get('/nowhere');
  await d.get('/v1/poll');
  assert.equal(await d.metric('holdfast_http_requests_refused_total') - before, 2);
});

claim('gaps are counted by reason', async (t) => {
  const d = await daemon(t);
  const before = await d.metrics();
  await d.get(`/v1/poll?channel=${fresh()}&since=other.1`);
  await d.get(`/v1/poll?channel=${fresh()}&since=nonsense`);
  const after = await d.metrics();
  for (const reason of ['epoch', 'invalid']) {
    const name = `holdfast_gaps_total{reason="${reason}"}`;
    assert.equal(after.get(name) - before.get(name), 1, name);
  }
});

claim('replays are counted by where they were found', async (t) => {
  const d = await t.daemon();
  for (let i = 0; i < 10; i++) await d.publish('a', `${i}`);
  await d.restart({ kill: true });
  const s = await t.sse(d, '/v1/sse?channel=a&since=0');
  await s.hello();
  await s.messages(10);
  const total = await d.metric('holdfast_messages_replayed_total{source="store"}') + await d.metric('holdfast_messages_replayed_total{source="memory"}');
  assert.equal(total, 10);
});

claim('closed sessions are counted by reason', async (t) => {
  const d = await daemon(t);
  const name = 'holdfast_sessions_closed_total{reason="protocol-error"}';
  const before = await d.metric(name);
  const w = await t.rawWs(d);
  await w.json();
  await w.send(3, '');
  await w.closeFrame();
  await w.raw.rest();
  await d.untilMetric(name, (n) => n === before + 1);
});

claim('the admin stats hold the same counters', async (t) => {
  const d = await daemon(t);
  const text = JSON.stringify((await d.admin('/v1/admin/stats')).json);
  for (const name of ['published', 'delivered', 'commits']) assert.ok(text.includes(name), name);
});

daemon.ends();
