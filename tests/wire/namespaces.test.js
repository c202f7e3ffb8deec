// SPDX-License-Identifier: MIT
// Namespaces: durability, retention, access.

import { claim, shared, assert, refused, fresh, unbroken } from './lib/claim.js';
import { TRANSPORTS, query, readHistory } from './lib/follow.js';
import { until } from './lib/wait.js';

const config = {
  'namespace volatile': { durability: 'memory' },
  'namespace safe': { durability: 'sync' },
  'namespace few': { history_count: 5 },
  'namespace brief': { history_age: '700ms' },
  'namespace small': { history_bytes: 1000 },
  'namespace board': { publish: 'admin' },
  'namespace secret': { subscribe: 'admin' },
  'namespace sealed': { publish: 'admin', subscribe: 'admin' },
};
const daemon = shared({ config });
const count = async (d, ch) => (await d.admin(`/v1/admin/channel?channel=${ch}`)).json?.count ?? 0;
const keeps = (d, ch, pred, ms = 8000) => {
  let n;
  return until(async () => pred(n = await count(d, ch)), ms, () => `${ch} to keep what it should (it keeps ${n})`);
};

for (const [ch, durability] of [['plain', 'commit'], ['other:x', 'commit'], ['volatile:x', 'memory'], ['safe:x', 'sync'], ['volatile', 'commit'], ['volatilex:a', 'commit'], [':x', 'commit']]) {
  claim(`a receipt of ${ch} says ${durability}`, async (t) => {
    assert.equal((await (await daemon(t)).publish(ch, 'x')).durability, durability);
  });
}

claim('a receipt over WebSocket says the same', async (t) => {
  const w = await t.ws(await daemon(t), '/v1/ws');
  await w.hello();
  assert.equal((await w.command({ type: 'publish', channel: 'volatile:w', data: 1 })).durability, 'memory');
  assert.equal((await w.command({ type: 'publish', channel: 'safe:w', data: 1 })).durability, 'sync');
});

claim('messages of durability memory have ids and history like the others, in one order with them', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh('volatile:c'), fresh()];
  const ids = [];
  for (let i = 0; i < 10; i++) ids.push((await d.publish(i % 2 ? a : b, `${i}`)).id);
  for (const name of TRANSPORTS) {
    const f = await t.follow(name, d, [a, b], { since: '0' });
    const got = await f.take(10);
    assert.deepEqual(got.map((m) => m.json.id), ids, name);
    unbroken(got, { first: null });
    f.close();
  }
});

claim('history_count keeps the newest of each channel', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh('few:c'), fresh('few:c')];
  for (let i = 0; i < 12; i++) await d.publish(a, `${i}`);
  for (let i = 0; i < 3; i++) await d.publish(b, `${i}`);
  await keeps(d, a, (n) => n === 5);
  assert.deepEqual((await readHistory(d, a)).map((m) => m.json.data), ['7', '8', '9', '10', '11']);
  assert.equal((await readHistory(d, b)).length, 3);
});

claim('history_age forgets what is older, and an old cursor gets a gap', async (t) => {
  const d = await daemon(t);
  const ch = fresh('brief:c');
  const first = await d.publish(ch, 'old');
  const second = await d.publish(ch, 'old too');
  await keeps(d, ch, (n) => n === 0);
  const f = await t.follow('sse', d, [ch], { since: first.id });
  const g = await f.takeGap();
  assert.equal(g.reason, 'retention');
  assert.equal(g.to, second.id);
  assert.equal(g.oldest, null);
  await d.publish(ch, 'new');
  const [m] = await f.take(1);
  assert.equal(m.json.data, 'new');
  assert.equal(m.json.prev, second.id);
});

claim('what is too old is not served even before it is removed', async (t) => {
  const d = await daemon(t);
  const ch = fresh('brief:c');
  const { id } = await d.publish(ch, 'old');
  const [m] = await readHistory(d, ch);
  assert.equal(m.json.id, id);
  await until(async () => (await readHistory(d, ch)).length === 0, 1500, 'the old message to be no longer served');
});

claim('history_bytes keeps the namespace below its size, the oldest go first', async (t) => {
  const d = await daemon(t);
  const ch = fresh('small:c');
  const ids = [];
  for (let i = 0; i < 30; i++) ids.push((await d.publish(ch, 'x'.repeat(100))).id);
  await keeps(d, ch, (n) => n <= 10);
  const got = await readHistory(d, ch);
  assert.ok(got.length >= 5, `only ${got.length} are kept`);
  assert.deepEqual(got.map((m) => m.json.id), ids.slice(-got.length));
});

claim('live subscribers get everything whatever is kept', async (t) => {
  const d = await daemon(t);
  const ch = fresh('few:c');
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  for (let i = 0; i < 60; i++) await d.publish(ch, `${i}`);
  assert.deepEqual((await s.messages(60)).map((m) => Number(m.json.data)), [...Array(60).keys()]);
});

claim('publish = admin refuses publishing on TCP and allows it on the admin socket', async (t) => {
  const d = await daemon(t);
  const ch = fresh('board:c');
  refused(await d.post(`/v1/publish?channel=${ch}`, 'x'), 403, 'forbidden');
  const w = await t.ws(d, `/v1/ws?channel=${ch}`);
  await w.hello();
  assert.equal((await w.command({ type: 'publish', channel: ch, data: 1 })).code, 'forbidden');
  assert.equal((await d.admin(`/v1/publish?channel=${ch}`, 'POST', { body: 'official', headers: { 'content-type': 'text/plain' } })).status, 200);
  assert.equal((await w.message()).json.data, 'official');
});

claim('publish = admin refuses ephemeral messages and batches as well', async (t) => {
  const d = await daemon(t);
  refused(await d.post('/v1/publish?channel=board:a&ephemeral=1', 'x'), 403, 'forbidden');
  refused(await d.post('/v1/publish?channel=board:a&batch=lines', 'x\ny'), 403, 'forbidden');
});

for (const path of ['/v1/poll?channel=secret:a', '/v1/poll?channel=secret:a&wait=1', '/v1/sse?channel=secret:a', '/v1/history?channel=secret:a', '/v1/subscribe?channel=secret:a', '/v1/poll?channel=open&channel=secret:a&since=0']) {
  claim(`subscribe = admin refuses ${path} on TCP`, async (t) => {
    const d = await daemon(t);
    await d.publish('secret:a', 'hush');
    refused(await d.get(path), 403, 'forbidden');
  });
}

claim('subscribe = admin refuses WebSocket subscriptions and history', async (t) => {
  const d = await daemon(t);
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  assert.equal((await w.command({ type: 'subscribe', channel: 'secret:a' })).code, 'forbidden');
  assert.equal((await w.command({ type: 'subscribe', channels: ['open', 'secret:a'] })).code, 'forbidden');
  assert.equal((await w.command({ type: 'history', channel: 'secret:a' })).code, 'forbidden');
  for (const q of ['channel=secret:a', 'channel=secret:a&format=raw']) {
    const err = await t.ws(d, `/v1/ws?${q}`).then(() => assert.fail('accepted'), (e) => e);
    assert.equal(err.status, 403);
  }
});

claim('subscribe = admin is open on the admin socket', async (t) => {
  const d = await daemon(t);
  const ch = fresh('secret:c');
  await d.publish(ch, 'hush');
  const s = await t.sse(d, `/v1/sse?channel=${ch}&since=0`, { admin: true });
  await s.hello();
  assert.equal((await s.message()).json.data, 'hush');
  assert.equal((await d.admin(`/v1/poll?${query([ch], { since: '0' })}`)).json.messages.length, 1);
});

claim('a namespace inherits what it does not set', async (t) => {
  const d = await t.daemon({ config: { namespace: { durability: 'sync', history_count: 3 }, 'namespace a': { durability: 'commit' } } });
  assert.equal((await d.publish('x', '1')).durability, 'sync');
  assert.equal((await d.publish('a:x', '1')).durability, 'commit');
  for (let i = 0; i < 6; i++) await d.publish('a:x', '1');
  await keeps(d, 'a:x', (n) => n === 3);
});

for (const kill of [true, false]) {
  claim(`after ${kill ? 'kill -9' : 'a restart'} messages of durability memory are a gap, and no id is used twice`, async (t) => {
    const d = await t.daemon({ config, options: { 'server.drain_grace': '200ms' } });
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push((await d.publish('volatile:a', `${i}`)).id);
    const kept = await d.publish('kept', 'x');
    for (let i = 0; i < 20; i++) ids.push((await d.publish('volatile:a', `${i}`)).id);
    await d.restart({ kill });
    const { epoch } = (await d.get('/v1/info')).json;
    assert.equal(epoch, ids[0].split('.')[0]);
    const f = await t.follow('sse', d, ['volatile:a'], { since: ids[3] });
    const g = await f.takeGap();
    assert.equal(g.from, ids[3]);
    assert.equal(g.oldest, null);
    const next = await d.publish('volatile:a', 'new');
    assert.ok(!ids.includes(next.id));
    assert.ok(BigInt(next.id.split('.').pop()) > BigInt(ids.at(-1).split('.').pop()), `${next.id} after ${ids.at(-1)}`);
    assert.equal((await f.take(1))[0].json.id, next.id);
    assert.deepEqual((await readHistory(d, 'kept')).map((m) => m.json.id), [kept.id]);
    assert.equal(f.items.items.length, 0);
  });
}

claim('a cursor at the very last volatile message is not taken for the end of the log after kill -9', async (t) => {
  const d = await t.daemon({ config });
  let last;
  for (let i = 0; i < 10; i++) last = await d.publish('volatile:a', `${i}`);
  await d.restart({ kill: true });
  const after = await d.publish('volatile:a', 'new');
  const f = await t.follow('shortpoll', d, ['volatile:a'], { since: last.id });
  let item = await f.items.next();
  if (item.json.type === 'gap') item = await f.items.next();
  assert.equal(item.json.id, after.id);
});

claim('the memory engine serves all transports and forgets everything', async (t) => {
  const d = await t.daemon({ options: { 'store.engine': 'memory' }, config: { namespace: { durability: 'memory' } } });
  const { id } = await d.publish('a', 'x');
  for (const name of TRANSPORTS) {
    const f = await t.follow(name, d, ['a'], { since: '0' });
    assert.equal((await f.take(1))[0].json.id, id);
    f.close();
  }
  await d.restart({ kill: true });
  const f = await t.follow('sse', d, ['a'], { since: id });
  assert.equal((await f.takeGap()).from, id);
});

daemon.ends();
