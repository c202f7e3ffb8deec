// SPDX-License-Identifier: MIT
// Short polling.

import { claim, shared, assert, refused, fresh } from './lib/claim.js';
import { query } from './lib/follow.js';

const daemon = shared({ options: { 'delivery.poll_messages': 10 }, config: { 'namespace open': { public: 'yes' } } });
const poll = (d, channels, params, how) => d.get(`/v1/poll?${query([].concat(channels), params)}`, how);

claim('without a cursor it gives the cursor of now and no messages', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await d.publish(ch, 'old');
  const a = await poll(d, ch);
  assert.equal(a.status, 200);
  assert.deepEqual(a.json.messages, []);
  assert.equal(a.json.cursor, r.id);
  assert.equal(a.json.more, false);
});

claim('on an empty log there is a cursor already', async (t) => {
  const d = await t.daemon();
  const { cursor } = (await poll(d, 'a')).json;
  const r = await d.publish('a', 'x');
  const a = await poll(d, 'a', { since: cursor });
  assert.equal(a.json.gaps, undefined);
  assert.deepEqual(a.json.messages.map((m) => m.id), [r.id]);
});

claim('since gives what came after it', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = [];
  for (let i = 0; i < 4; i++) ids.push((await d.publish(ch, `${i}`)).id);
  const a = await poll(d, ch, { since: ids[1] });
  assert.deepEqual(a.json.messages.map((m) => m.id), ids.slice(2));
  assert.equal(a.json.messages[0].prev, ids[1]);
  assert.equal(a.json.cursor, ids[3]);
});

claim('wait=0 is the same as no wait', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'x');
  for (const wait of ['0', '0.0']) {
    const a = await poll(d, ch, { since: '0', wait });
    assert.equal(a.json.messages.length, 1);
    assert.equal(a.headers['cache-control'], 'private, no-cache');
  }
});

claim('last=N gives the newest N', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  for (let i = 0; i < 5; i++) await d.publish(ch, `${i}`);
  assert.deepEqual((await poll(d, ch, { last: 2 })).json.messages.map((m) => m.data), ['3', '4']);
  assert.deepEqual((await poll(d, ch, { last: 0 })).json.messages, []);
  assert.equal((await poll(d, ch, { last: 9 })).json.messages.length, 5);
});

claim('the ETag is the quoted cursor', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'x');
  const a = await poll(d, ch, { since: '0' });
  assert.equal(a.headers.etag, `"${a.json.cursor}"`);
});

claim('If-None-Match of the cursor gives 304 when nothing is new, and 200 when something is', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const { id } = await d.publish(ch, 'x');
  const headers = { 'If-None-Match': `"${id}"` };
  const none = await poll(d, ch, { since: id }, { headers });
  assert.equal(none.status, 304);
  assert.equal(none.body.length, 0);
  await d.publish(ch, 'y');
  const some = await poll(d, ch, { since: id }, { headers });
  assert.equal(some.status, 200);
  assert.deepEqual(some.json.messages.map((m) => m.data), ['y']);
});

claim('If-None-Match counts as since when none is given', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const { id } = await d.publish(ch, 'x');
  await d.publish(ch, 'y');
  const a = await poll(d, ch, {}, { headers: { 'If-None-Match': `"${id}"` } });
  assert.deepEqual(a.json.messages.map((m) => m.data), ['y']);
  const b = await poll(d, ch, {}, { headers: { 'If-None-Match': a.headers.etag } });
  assert.equal(b.status, 304);
});

claim('an If-None-Match that a shared cache made weak works as well', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const { id } = await d.publish(ch, 'x');
  assert.equal((await poll(d, ch, { since: id }, { headers: { 'If-None-Match': `W/"${id}"` } })).status, 304);
});

claim('a 304 carries the validators and leaves the connection in step', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const { id } = await d.publish(ch, 'x');
  const c = await t.raw(d);
  const a = await c.ask('GET', `/v1/poll?channel=${ch}`, { headers: { 'If-None-Match': `"${id}"` } });
  assert.equal(a.status, 304);
  assert.ok(a.headers.etag);
  assert.equal((await c.ask('GET', '/healthz')).status, 200);
});

claim('replies of public namespaces may be shared by caches for a second', async (t) => {
  const d = await daemon(t);
  assert.equal((await poll(d, 'open:a', { since: '0' })).headers['cache-control'], 'public, max-age=1');
  assert.equal((await poll(d, 'closed:a', { since: '0' })).headers['cache-control'], 'private, no-cache');
  assert.equal((await poll(d, ['open:a', 'closed:a'], { since: '0' })).headers['cache-control'], 'private, no-cache');
});

claim('equal polls give equal bytes', async (t) => {
  const d = await daemon(t);
  const ch = fresh('open:c');
  for (let i = 0; i < 5; i++) await d.publish(ch, `${i}`);
  const [a, b] = [await poll(d, ch, { since: '0' }), await poll(d, ch, { since: '0' })];
  assert.equal(a.text, b.text);
  assert.equal(a.headers.etag, b.headers.etag);
});

claim('a long history is cut at the page size, with more', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, [...Array(21).keys()].join('\n'), { query: '&batch=lines' });
  const first = await poll(d, ch, { since: '0' });
  assert.equal(first.json.messages.length, 10);
  assert.equal(first.json.more, true);
  assert.equal(first.json.cursor, first.json.messages[9].id);
  const f = await t.follow('shortpoll', d, [ch], { since: '0' });
  assert.deepEqual((await f.take(21)).map((m) => Number(m.json.data)), [...Array(21).keys()]);
});

claim('two channels with a page size between them lose nothing', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  for (let i = 0; i < 13; i++) {
    await d.publish(a, `${2 * i}`);
    await d.publish(b, `${2 * i + 1}`);
  }
  const f = await t.follow('shortpoll', d, [a, b], { since: '0' });
  assert.deepEqual((await f.take(26)).map((m) => Number(m.json.data)), [...Array(26).keys()]);
});

claim('a single message above the page size is given anyway', async (t) => {
  const d = await t.daemon({ options: { 'delivery.poll_bytes': '1KiB' } });
  await d.publish('a', 'x'.repeat(100000));
  await d.publish('a', 'y'.repeat(100000));
  const first = await poll(d, 'a', { since: '0' });
  assert.equal(first.json.messages.length, 1);
  assert.equal(first.json.more, true);
  const second = await poll(d, 'a', { since: first.json.cursor });
  assert.equal(second.json.messages[0].data[0], 'y');
  assert.equal(second.json.more, false);
});

claim('ephemeral messages are not kept for polls', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'passing', { query: '&ephemeral=1' });
  assert.deepEqual((await poll(d, ch, { since: '0' })).json.messages, []);
});

claim('gaps stand beside the messages', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const { id } = await d.publish(ch, 'x');
  const a = await poll(d, ch, { since: 'zzz.1' });
  assert.deepEqual(Object.keys(a.json), ['cursor', 'messages', 'gaps', 'session', 'more']);
  assert.equal(a.json.gaps.length, 1);
  assert.equal(a.json.gaps[0].reason, 'epoch');
  assert.deepEqual(a.json.messages.map((m) => m.id), [id]);
});

claim('a poll without a channel is refused', async (t) => {
  refused(await (await daemon(t)).get('/v1/poll'), 400, 'no_channel');
});

daemon.ends();
