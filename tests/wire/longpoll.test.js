// SPDX-License-Identifier: MIT
// Long polling.

import { claim, shared, assert, refused, fresh } from './lib/claim.js';
import { query } from './lib/follow.js';
import { until } from './lib/wait.js';

const daemon = shared({ options: { 'delivery.poll_wait_max': '3s', 'delivery.poll_messages': 10 } });
const poll = (d, channels, params, how) => d.get(`/v1/poll?${query([].concat(channels), params)}`, { agent: false, ...how });
const waiting = (d, n) => d.untilMetric('holdfast_sessions{transport="longpoll"}', (v) => v >= n);

claim('a poll is answered at once when there is something', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await d.publish(ch, 'x');
  const began = Date.now();
  const a = await poll(d, ch, { since: '0', wait: 3 });
  assert.ok(Date.now() - began < 1500);
  assert.equal(a.status, 200);
  assert.deepEqual(Object.keys(a.json), ['cursor', 'messages', 'session', 'more']);
  assert.equal(a.json.messages[0].id, r.id);
  assert.equal(a.json.more, false);
});

claim('a poll is answered as soon as there is something', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const since = await d.cursor(ch);
  const reply = poll(d, ch, { since, wait: 3 });
  await waiting(d, 1);
  const r = await d.publish(ch, 'x');
  const a = await reply;
  assert.deepEqual(a.json.messages.map((m) => m.id), [r.id]);
});

claim('a poll on which nothing comes is answered with an empty list after its wait', async (t) => {
  const d = await daemon(t);
  const began = Date.now();
  const a = await poll(d, fresh(), { since: await d.cursor(), wait: 0.5 });
  const took = Date.now() - began;
  assert.equal(a.status, 200);
  assert.deepEqual(a.json.messages, []);
  assert.equal(a.json.more, false);
  assert.equal(a.json.gaps, undefined);
  assert.ok(took >= 450 && took < 2500, `${took} ms`);
});

claim('a wait above the cap is lowered to it', async (t) => {
  const d = await t.daemon({ options: { 'delivery.poll_wait_max': '400ms' } });
  const began = Date.now();
  const a = await poll(d, 'a', { wait: 3600 });
  assert.equal(a.status, 200);
  assert.ok(Date.now() - began < 3000);
});

claim('the reply carries ETag of the cursor and no-store', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'x');
  const a = await poll(d, ch, { since: '0', wait: 1 });
  assert.equal(a.headers.etag, `"${a.json.cursor}"`);
  assert.equal(a.headers['cache-control'], 'no-store');
  assert.match(a.headers['content-type'], /^application\/json/);
});

claim('without since and last it waits for the next message from now', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'old');
  const reply = poll(d, ch, { wait: 3 });
  await waiting(d, 1);
  await d.publish(ch, 'new');
  assert.deepEqual((await reply).json.messages.map((m) => m.data), ['new']);
});

claim('last=N is answered at once', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  for (const x of ['a', 'b', 'c']) await d.publish(ch, x);
  assert.deepEqual((await poll(d, ch, { last: 2, wait: 3 })).json.messages.map((m) => m.data), ['b', 'c']);
});

claim('one cursor resumes several channels', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  await d.publish(a, '1');
  const first = await poll(d, [a, b], { since: '0', wait: 1 });
  await d.publish(b, '2');
  await d.publish(a, '3');
  const second = await poll(d, [a, b], { since: first.json.cursor, wait: 1 });
  assert.deepEqual(second.json.messages.map((m) => [m.channel, m.data]), [[b, '2'], [a, '3']]);
});

claim('the cursor moves even when no message came', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const since = await d.cursor(ch);
  const other = await d.publish(fresh(), 'elsewhere');
  const a = await poll(d, ch, { since, wait: 0.2 });
  assert.deepEqual(a.json.messages, []);
  assert.notEqual(a.json.cursor, since);
  const seq = (id) => BigInt(id.split('.').pop());
  assert.ok(seq(a.json.cursor) >= seq(other.id), `${a.json.cursor} is before ${other.id}`);
});

claim('messages of one batch leave in one reply', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const since = await d.cursor(ch);
  const reply = poll(d, ch, { since, wait: 3 });
  await waiting(d, 1);
  const r = await d.publish(ch, 'a\nb\nc\nd\ne', { query: '&batch=lines' });
  const a = await reply;
  assert.deepEqual(a.json.messages.map((m) => m.id), r.ids);
});

claim('a burst within poll_batch leaves in one reply', async (t) => {
  const d = await t.daemon({ options: { 'delivery.poll_batch': '300ms' } });
  const reply = poll(d, 'a', { since: await d.cursor('a'), wait: 10 });
  await waiting(d, 1);
  for (let i = 0; i < 5; i++) await d.publish('a', `${i}`);
  assert.deepEqual((await reply).json.messages.map((m) => m.data), ['0', '1', '2', '3', '4']);
});

claim('a long history is cut at the page size, with more, and the next poll goes on', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, [...Array(25).keys()].join('\n'), { query: '&batch=lines' });
  let since = '0';
  const seen = [], sizes = [];
  for (;;) {
    const a = await poll(d, ch, { since, wait: 3 });
    seen.push(...a.json.messages.map((m) => Number(m.data)));
    sizes.push(a.json.messages.length);
    since = a.json.cursor;
    if (!a.json.more) break;
  }
  assert.deepEqual(seen, [...Array(25).keys()]);
  assert.deepEqual(sizes, [10, 10, 5]);
});

claim('an ephemeral message answers a waiting poll', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const since = await d.cursor(ch);
  const reply = poll(d, ch, { since, wait: 3 });
  await waiting(d, 1);
  await d.publish(ch, 'passing', { query: '&ephemeral=1' });
  const [m] = (await reply).json.messages;
  assert.equal(m.data, 'passing');
  assert.equal('id' in m, false);
  assert.equal('prev' in m, false);
});

claim('a gap answers at once', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const began = Date.now();
  const a = await poll(d, ch, { since: 'nonsense', wait: 3 });
  assert.ok(Date.now() - began < 2000);
  assert.deepEqual(a.json.gaps, [{ type: 'gap', channel: ch, from: 'nonsense', to: a.json.gaps[0].to, oldest: null, reason: 'invalid' }]);
  const again = await poll(d, ch, { since: a.json.cursor, wait: 0.1 });
  assert.equal(again.json.gaps, undefined);
});

claim('several polls of one client are independent of each other', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const since = await d.cursor(ch);
  const polls = [...Array(5)].map(() => poll(d, ch, { since, wait: 3 }));
  await waiting(d, 5);
  const r = await d.publish(ch, 'x');
  for (const a of await Promise.all(polls)) assert.deepEqual(a.json.messages.map((m) => m.id), [r.id]);
});

claim('a message is lost neither between two polls nor given twice', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const f = await t.follow('longpoll', d, [ch]);
  const publishing = (async () => { for (let i = 0; i < 100; i++) await d.publish(ch, `${i}`); })();
  assert.deepEqual((await f.take(100)).map((m) => Number(m.json.data)), [...Array(100).keys()]);
  await publishing;
});

claim('a client that hangs up while it waits is gone', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const subscribers = async () => (await d.admin(`/v1/admin/channel?channel=${ch}`)).json.subscribers ?? 0;
  const cursor = await d.cursor(ch);
  const c = await t.raw(d);
  await c.request('GET', `/v1/poll?channel=${ch}&since=${cursor}&wait=3`);
  await until(async () => (await subscribers()) === 1, 3000, 'the poll to wait');
  c.destroy();
  await until(async () => (await subscribers()) === 0, 2000, 'the poll to be gone');
});

claim('a client that half-closes while it waits is gone', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const subscribers = async () => (await d.admin(`/v1/admin/channel?channel=${ch}`)).json.subscribers ?? 0;
  const cursor = await d.cursor(ch);
  const c = await t.raw(d);
  await c.request('GET', `/v1/poll?channel=${ch}&since=${cursor}&wait=3`);
  await until(async () => (await subscribers()) === 1, 3000, 'the poll to wait');
  c.finish();
  await until(async () => (await subscribers()) === 0, 2000, 'the poll to be gone');
});

claim('the connection serves further polls', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const c = await t.raw(d);
  let since = await d.cursor(ch);
  for (let i = 0; i < 3; i++) {
    await c.request('GET', `/v1/poll?channel=${ch}&since=${since}&wait=3`);
    await waiting(d, 1);
    await d.publish(ch, `${i}`);
    const a = await c.response();
    assert.equal(a.json.messages[0].data, `${i}`);
    since = a.json.cursor;
  }
});

claim('HEAD waits like GET and has no body', async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  const a = await c.ask('HEAD', `/v1/poll?channel=${fresh()}&wait=0.2`);
  assert.equal(a.status, 200);
  assert.equal((await c.ask('GET', '/healthz')).status, 200);
});

for (const wait of ['x', '-1', '1s', 'NaN', '1e', '0x1', '1,5', '.', '1.2.3']) {
  claim(`wait=${wait} is refused`, async (t) => {
    refused(await (await daemon(t)).get(`/v1/poll?channel=a&wait=${wait}`), 400, 'bad_parameter');
  });
}

claim('a poll without a channel is refused', async (t) => {
  refused(await (await daemon(t)).get('/v1/poll?wait=1'), 400, 'no_channel');
});

daemon.ends();
