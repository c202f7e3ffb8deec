// SPDX-License-Identifier: MIT
// The demo page as files, and the figures that the broker tells of itself. What the page does: tests/browser/demo.test.js.

import { claim, shared, assert } from './lib/claim.js';
import { until } from './lib/wait.js';

const daemon = shared();
const FILES = { '/': /^text\/html; charset=utf-8$/, '/demo.css': /^text\/css; charset=utf-8$/, '/demo.js': /^text\/javascript; charset=utf-8$/ };
const STATS = '/v1/sse?channel=demo:stats';

for (const [path, type] of Object.entries(FILES)) {
  claim(`${path} is served, and is not sent again while it is the same`, async (t) => {
    const d = await daemon(t);
    const a = await d.get(path);
    assert.equal(a.status, 200);
    assert.match(a.headers['content-type'], type);
    assert.ok(a.body.length > 1000);
    assert.match(a.headers.etag, /^"[0-9a-f]{16}"$/);
    const again = await d.get(path, { headers: { 'if-none-match': `"other", ${a.headers.etag}` } });
    assert.equal(again.status, 304);
    assert.equal(again.body.length, 0);
    assert.equal((await d.get(path, { headers: { 'if-none-match': '"other"' } })).status, 200);
    const head = await d.request('HEAD', path);
    assert.equal(Number(head.headers['content-length']), a.body.length);
    assert.equal((await d.post(path)).status, 405);
  });
}

claim('the page may load nothing from elsewhere, run no other code, and be framed by nobody', async (t) => {
  const d = await daemon(t);
  for (const path of Object.keys(FILES)) {
    const { headers } = await d.get(path);
    const policy = Object.fromEntries(headers['content-security-policy'].split('; ').map((p) => [p.split(' ')[0], p.split(' ').slice(1).join(' ')]));
    assert.equal(policy['default-src'], "'self'");
    assert.equal(policy['script-src'], undefined);
    assert.equal(policy['style-src'], undefined);
    assert.equal(policy['frame-ancestors'], "'none'");
    assert.equal(headers['x-content-type-options'], 'nosniff');
  }
  for (const path of ['/', '/demo.css']) assert.doesNotMatch((await d.get(path)).text, /(src|href|url\(|@import)\s*[=(]?\s*["']?(https?:)?\/\//i);
});

claim('with the demo off there is no page, no file of it and no figures', async (t) => {
  const d = await t.daemon({ options: { 'server.demo': 'no' } });
  for (const path of Object.keys(FILES)) assert.equal((await d.get(path)).status, 404);
  const s = await t.sse(d, STATS);
  await s.hello();
  const began = Date.now();
  await until(async () => {
    assert.equal((await d.get('/v1/history?channel=demo:stats')).json.messages.length, 0);
    return Date.now() - began > 2500;
  }, 10000, 'a look at an empty channel');
});

claim('the figures come once a second to those who subscribe, and tell what happened', async (t) => {
  const d = await t.daemon();
  const s = await t.sse(d, STATS);
  const next = async () => JSON.parse((await s.events.find((e) => e.id, 5000)).data);
  const first = await next();
  for (let i = 0; i < 20; i++) await d.publish('other', `message ${i}`);
  let published = 0, committed = 0, last;
  while (published < 20) {
    last = await next();
    published += last.data.published;
    committed += last.data.commit.count;
  }
  assert.equal(last.prev === null, false);
  assert.ok(first.data.interval_ms >= 900 && first.data.interval_ms < 5000, `interval ${first.data.interval_ms}`);
  assert.deepEqual(Object.keys(last.data), ['interval_ms', 'published', 'delivered', 'commit', 'delivery', 'connections', 'sessions', 'resident_bytes']);
  assert.deepEqual(Object.keys(last.data.commit), ['count', 'p50_us', 'p99_us']);
  assert.deepEqual(last.data.sessions, { websocket: 0, sse: 1, longpoll: 0, shortpoll: 0 });
  assert.ok(committed > 0);
  assert.ok(last.data.delivered >= 1);
  assert.ok(last.data.connections >= 1);
  assert.ok(last.data.resident_bytes > 1000000);
});

claim('nobody subscribes, nothing is published', async (t) => {
  const d = await t.daemon();
  const began = Date.now();
  await until(async () => {
    assert.equal((await d.get('/v1/history?channel=demo:stats')).json.messages.length, 0);
    return Date.now() - began > 2500;
  }, 10000, 'a look at an empty channel');
});

claim('who comes back every few seconds to poll gets the figures too', async (t) => {
  const d = await t.daemon();
  const poll = async (query) => (await d.get(`/v1/poll?channel=demo:stats${query}`)).json;
  let { cursor, session } = await poll('&session=');
  const got = [];
  await until(async () => {
    const reply = await poll(`&since=${cursor}&session=${session}`);
    ({ cursor, session } = reply);
    got.push(...reply.messages);
    return got.length >= 2;
  }, 10000, 'figures by short polling');
  assert.equal(got[1].prev, got[0].id);
});

claim('the namespace of the page keeps presence unless it is told otherwise', async (t) => {
  const d = await daemon(t);
  assert.equal((await d.get('/v1/presence?channel=demo:chat')).status, 200);
  assert.equal((await d.get('/v1/presence?channel=chat')).status, 400);
  const other = await t.daemon({ config: { 'namespace demo': { presence: 'no' } } });
  assert.equal((await other.get('/v1/presence?channel=demo:chat')).status, 400);
});

daemon.ends();
