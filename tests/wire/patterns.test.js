// SPDX-License-Identifier: MIT
// Patterns: room:* on every transport, live and in replay, with one cursor, across restarts.

import { claim, shared, assert, refused, fresh, unbroken } from './lib/claim.js';
import { TRANSPORTS, query, readAll } from './lib/follow.js';
import { until } from './lib/wait.js';

const config = {
  'namespace few': { history_count: 3 },
  'namespace ram': { durability: 'memory' },
  'namespace secret': { subscribe: 'admin' },
};
const daemon = shared({ config, options: { 'limits.patterns_per_subscription': 3, 'limits.pattern_scan': 100, 'delivery.poll_messages': 50 } });
const numbers = (items) => items.map((m) => Number(m.json.data));
const range = (a, b) => [...Array(b - a).keys()].map((i) => a + i);
const some = () => fresh('room:p'); // a prefix of its own

for (const name of TRANSPORTS) {
  claim(`${name}: a pattern brings all channels with the prefix, also those that begin later`, async (t) => {
    const d = await daemon(t);
    const p = `${some()}.`;
    await d.publish(`${p}old`, 'before');
    const f = await t.follow(name, d, [`${p}*`]);
    for (let i = 0; i < 12; i++) {
      await d.publish(`${p}${i % 4}`, `${i}`);
      await d.publish(`other:${p}`, 'x');
    }
    const got = await f.take(12);
    assert.deepEqual(numbers(got), range(0, 12));
    assert.deepEqual([...new Set(got.map((m) => m.json.channel))], range(0, 4).map((i) => `${p}${i}`));
    unbroken(got, { first: null });
  });

  claim(`${name}: since=0 replays all of them in log order, then live`, async (t) => {
    const d = await daemon(t);
    const p = `${some()}.`;
    for (let i = 0; i < 150; i++) await d.publish(i % 3 ? `${p}${i % 7}` : 'noise', `${i}`);
    const want = range(0, 150).filter((i) => i % 3);
    const f = await t.follow(name, d, [`${p}*`], { since: '0' });
    const got = await f.take(want.length);
    await d.publish(`${p}new`, '150');
    got.push(...await f.take(1));
    assert.deepEqual(numbers(got), [...want, 150]);
    unbroken(got);
  });

  claim(`${name}: a channel and two patterns that match it bring a message once`, async (t) => {
    const d = await daemon(t);
    const p = `${some()}.`;
    for (let i = 0; i < 10; i++) await d.publish(`${p}${i % 2}`, `${i}`);
    const f = await t.follow(name, d, [`${p}*`, `${p}1`, `${p}1*`], { since: '0' });
    const got = await f.take(10);
    for (let i = 10; i < 20; i++) await d.publish(`${p}${i % 2}`, `${i}`);
    got.push(...await f.take(10));
    await d.publish(`${p}1`, '20');
    got.push(...await f.take(1));
    assert.deepEqual(numbers(got), range(0, 21));
  });

  claim(`${name}: last=N gives the newest N of all of them together`, async (t) => {
    const d = await daemon(t);
    const p = `${some()}.`;
    for (let i = 0; i < 10; i++) await d.publish(`${p}${i % 3}`, `${i}`);
    for (let i = 0; i < 250; i++) await d.publish('noise', 'x');
    const f = await t.follow(name, d, [`${p}*`], { last: 4 });
    const got = await f.take(4);
    await d.publish(`${p}x`, '10');
    got.push(...await f.take(1));
    assert.deepEqual(numbers(got), range(6, 11));
  });

  claim(`${name}: a cursor that is no good is one gap of the pattern, then all there is`, async (t) => {
    const d = await daemon(t);
    const p = `${some()}.`;
    const first = await d.publish(`${p}a`, '0');
    await d.publish(`${p}b`, '1');
    const f = await t.follow(name, d, [`${p}*`], { since: 'notthisone.7' });
    assert.deepEqual(await f.takeGap(), { type: 'gap', channel: `${p}*`, from: 'notthisone.7', to: null, oldest: first.id, reason: 'epoch' });
    assert.deepEqual(numbers(await f.take(2)), [0, 1]);
  });

  claim(`${name}: what retention took is told by the channel that lost it`, async (t) => {
    const d = await daemon(t);
    const p = `${fresh('few:p')}.`;
    const ids = [];
    for (let i = 0; i < 9; i++) ids.push((await d.publish(`${p}${i < 6 ? 'a' : 'b'}`, `${i}`)).id);
    await until(async () => (await d.admin(`/v1/admin/channel?channel=${p}a`)).json.count === 3, 8000, 'retention');
    // Nobody of this daemon has the pattern in memory: it comes from the log.
    const f = await t.follow(name, d, [`${p}*`], { since: ids[0] });
    assert.deepEqual(await f.takeGap(), { type: 'gap', channel: `${p}a`, from: ids[0], to: ids[2], oldest: ids[3], reason: 'retention' });
    assert.deepEqual(numbers(await f.take(6)), range(3, 9));
  });
}

claim('a session that changes its transport and sees the broker killed loses and repeats nothing', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ config });
  const p = 'room:';
  let cursor = await d.cursor(`${p}*`);
  const seen = [];
  let sent = 0;
  for (let turn = 0; turn < 12; turn++) {
    for (let i = 0; i < 9; i++, sent++) await d.publish(`${p}${(sent * 7) % 11}`, `${sent}`);
    if (turn % 4 === 3) await d.restart({ kill: turn % 8 === 3 });
    const f = await t.follow(TRANSPORTS[turn % 4], d, [`${p}*`, `${p}3`], { since: cursor });
    const got = await f.take(turn === 11 ? sent - seen.length : Math.min(5 + turn, sent - seen.length));
    f.close();
    seen.push(...got);
    cursor = got.at(-1).json.id;
  }
  assert.deepEqual(numbers(seen), range(0, sent));
  unbroken(seen, { first: null });
});

for (const engine of ['sqlite', 'memory']) {
  claim(`2,000 channels under one pattern, with publishers at work, on ${engine}`, { ms: 90000 }, async (t) => {
    const d = await t.daemon(engine === 'memory' ? { options: { 'store.engine': 'memory' }, config: { namespace: { durability: 'memory' } } } : {});
    const N = 2000;
    const followers = [];
    for (const name of TRANSPORTS) followers.push(await t.follow(name, d, ['many:*'], { since: await d.cursor('x') }));
    const publish = async (from) => {
      for (let i = from; i < N; i += 8) {
        await d.publish(`many:${i}`, `${i}.a\n${i}.b`, { query: '&batch=lines' });
        await d.publish(`none:${i % 50}`, 'x');
      }
    };
    const publishing = Promise.all(range(0, 8).map(publish));
    const late = await t.follow('sse', d, ['many:*'], { since: '0' });
    followers.push(late);
    await publishing;
    let first = null;
    for (const f of followers) {
      const got = (await f.take(2 * N, 30000)).map((m) => m.json);
      unbroken(got.map((json) => ({ json })), { first: null });
      const ids = got.map((m) => m.id);
      first ??= ids;
      assert.deepEqual(ids, first, `${f.transport} differs`);
      assert.equal(new Set(got.map((m) => m.channel)).size, N);
    }
    const again = await readAll(d, ['many:*']);
    assert.deepEqual(again.map((m) => m.json.id), first);
    // rare ones in a long log: two of them, and what comes then
    const f = await t.follow('websocket', d, ['many:199*'], { since: '0' });
    assert.equal((await f.take(22)).length, 22);
    await d.publish('many:199x', 'end');
    assert.equal((await f.take(1))[0].json.data, 'end');
  });
}

claim('patterns that reach into memory-only and stored namespaces come merged', async (t) => {
  const d = await t.daemon({ config, options: { 'limits.pattern_any': 'yes' } });
  for (let i = 0; i < 40; i++) await d.publish(i % 2 ? `ram:${i % 4}` : `room:${i % 6}`, `${i}`);
  // secret is closed: not `*`
  const f = await t.follow('sse', d, ['r*'], { since: '0' });
  assert.deepEqual(numbers(await f.take(40)), range(0, 40));
  await d.publish('rx', '40');
  assert.deepEqual(numbers(await f.take(1)), [40]);
});

claim('a slow consumer of a pattern gets everything in order when it reads again', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ options: { 'limits.out_queue_bytes': '64KiB', 'limits.replay_window_bytes': '32KiB', 'http.write_timeout': '60s' } });
  const s = await t.sse(d, '/v1/sse?channel=room:*&channel=room:1');
  await s.hello();
  s.pause();
  const pad = 'x'.repeat(5000);
  let n = 0;
  for (let i = 0; i < 60; i++) {
    const lines = range(0, 50).map(() => `${n++} ${pad}`);
    await d.publish(`room:${i % 5}`, lines.join('\n'), { query: '&batch=lines' });
  }
  assert.ok(await d.metric('holdfast_slow_consumers_total{policy="lag"}') >= 1);
  s.resume();
  for (let i = 0; i < n; i++) assert.equal(Number((await s.message(10000)).json.data.split(' ')[0]), i);
  await d.untilMetric('holdfast_subscribers_catching_up', (v) => v === 0);
  await d.publish('room:new', 'live again');
  assert.equal((await s.message()).json.data, 'live again');
});

claim('WebSocket: subscribe and unsubscribe take patterns as they are written', async (t) => {
  const d = await daemon(t);
  const p = `${some()}.`;
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  const ok = await w.command({ type: 'subscribe', channels: [`${p}*`, `${p}1`], ref: 1 });
  assert.deepEqual(ok.channels, [`${p}*`, `${p}1`]);
  await d.publish(`${p}1`, 'a');
  assert.equal((await w.message()).json.data, 'a');
  assert.equal((await w.command({ type: 'unsubscribe', channel: `${p}2` })).code, 'not_subscribed');
  assert.equal((await w.command({ type: 'unsubscribe', channel: `${p}*` })).type, 'ok');
  await d.publish(`${p}2`, 'not for us');
  await d.publish(`${p}1`, 'b');
  assert.equal((await w.message()).json.data, 'b');
  assert.equal((await w.command({ type: 'unsubscribe', channel: `${p}*` })).code, 'not_subscribed');
  // an older start replays the pattern, without what its channel brought already
  await w.command({ type: 'subscribe', channel: `${p}*`, since: '0' });
  assert.equal((await w.message()).json.data, 'not for us');
  await d.publish(`${p}1`, 'c');
  assert.equal((await w.message()).json.data, 'c');
});

claim('what is no pattern is refused by every way in', async (t) => {
  const d = await daemon(t);
  for (const bad of ['*', 'room*', 'room:**', 'ro*m:*', 'room:*x', '*room:', 'room: *']) {
    const q = query([bad]);
    for (const path of [`/v1/sse?${q}`, `/v1/poll?${q}`, `/v1/poll?${q}&wait=1`, `/v1/history?${q}`]) refused(await d.get(path), 400, 'bad_channel');
    const w = await t.ws(d, '/v1/ws');
    await w.hello();
    assert.equal((await w.command({ type: 'subscribe', channel: bad })).code, 'bad_channel');
    assert.equal((await w.command({ type: 'publish', channel: bad, data: 1 })).code, 'bad_channel');
    w.close();
  }
  refused(await d.get('/v1/history?channel=room:*'), 400, 'bad_channel');
  refused(await d.post('/v1/publish?channel=room:*', 'x'), 400, 'bad_channel');
  await assert.rejects(t.rawWs(d, '/v1/ws?channel=room:*&format=raw'));
});

claim('a durable subscriber with a pattern is refused by every way in', async (t) => {
  const d = await daemon(t);
  const q = 'channel=room:1&channel=room:*&subscriber=me';
  for (const path of [`/v1/sse?${q}`, `/v1/poll?${q}`, `/v1/poll?${q}&wait=1`]) refused(await d.get(path), 400, 'not_supported');
  await assert.rejects(t.rawWs(d, `/v1/ws?${q}`));
  refused(await d.post('/v1/ack', JSON.stringify({ subscriber: 'me', channel: 'room:*', id: 'x.1' })), 400, 'not_supported');
  refused(await d.get('/v1/acks?channel=room:*'), 400, 'not_supported');
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  assert.equal((await w.command({ type: 'subscribe', channel: 'room:*', subscriber: 'me' })).code, 'not_supported');
  assert.equal((await w.command({ type: 'subscribe', channel: 'room:1', subscriber: 'me' })).type, 'ok');
  assert.equal((await w.command({ type: 'subscribe', channel: 'room:*' })).code, 'not_supported');
});

claim('a message that expired is told of to who has a pattern', async (t) => {
  const d = await daemon(t);
  const p = `${some()}.`;
  const first = await d.publish(`${p}1`, 'a');
  await d.publish(`${p}2`, 'gone', { query: '&ttl=0.001' });
  await d.publish(`${p}2`, 'b');
  await until(async () => (await d.get(`/v1/history?channel=${p}2&since=0`)).json.messages.length === 1, 5000, 'the ttl to be over');
  const reply = (await d.get(`/v1/poll?channel=${p}*&since=${first.id}`)).json;
  assert.deepEqual(reply.messages.map((m) => m.data), ['b']);
  assert.deepEqual(reply.gaps.map((g) => `${g.reason} ${g.channel} from ${g.from}`), [`expired ${p}2 from ${first.id}`]);
});

claim('every namespace that a pattern reaches must be open; the admin may all', async (t) => {
  const d = await t.daemon({ config, options: { 'limits.pattern_any': 'yes' } });
  for (const p of ['secret:*', 'secret:a*', 'secret*', 's*', '*']) refused(await d.get(`/v1/poll?channel=${p}`), 403, 'forbidden');
  for (const p of ['room:*', 'ro*', 'secretive*', 'few:*']) assert.equal((await d.get(`/v1/poll?channel=${p}`)).status, 200, p);
  await d.publish('secret:x', '1');
  for (const p of ['secret:*', '*']) assert.equal((await d.admin(`/v1/poll?channel=${p}&since=0`)).json.messages.length, 1, p);
});

claim('the limits of patterns hold, are told and are counted', async (t) => {
  const d = await t.daemon({ options: { 'limits.patterns_per_subscription': 2, 'limits.patterns': 3, 'server.workers': 1 } });
  const { limits } = (await d.get('/v1/info')).json;
  assert.equal(limits.patterns, 2);
  assert.equal(limits.pattern_any, false);
  refused(await d.get('/v1/poll?channel=a:*&channel=b:*&channel=c:*'), 400, 'too_many_patterns');
  const one = await t.sse(d, '/v1/sse?channel=a:*&channel=b:*');
  await one.hello();
  assert.equal(await d.metric('holdfast_patterns_active'), 2);
  const two = await t.sse(d, '/v1/sse?channel=a:*&channel=c:*');
  await two.hello();
  refused(await d.get('/v1/poll?channel=d:*'), 503, 'overloaded');
  two.close();
  await until(async () => (await d.get('/v1/poll?channel=d:*')).status === 200, 5000, 'room for another pattern');
  assert.ok(await d.metric('holdfast_patterns_refused_total') >= 2);
});

claim('pattern subscribers are counted where operators and publishers look', async (t) => {
  const d = await t.daemon({});
  const s = await t.sse(d, '/v1/sse?channel=room:*&channel=other');
  await s.hello();
  const w = await t.ws(d, '/v1/ws?channel=room:1');
  await w.hello();
  assert.equal((await d.publish('room:1', 'x')).subscribers, 2);
  assert.equal((await d.publish('room:2', 'x')).subscribers, 1);
  assert.equal((await d.publish('room', 'x')).subscribers, 0);
  const one = (await d.admin('/v1/admin/channel?channel=room:1')).json;
  assert.equal(one.subscribers, 2);
  assert.deepEqual(one.subscribers_by_transport, { websocket: 1, sse: 1, longpoll: 0, shortpoll: 0 });
  assert.equal((await d.admin('/v1/admin/channel?channel=room:nobody')).status, 404);
  const { channels } = (await d.admin('/v1/admin/channels')).json;
  assert.deepEqual(channels.map((c) => [c.name, c.subscribers]), [['other', 1], ['room', 0], ['room:1', 2], ['room:2', 1]]);
  const { connections } = (await d.admin('/v1/admin/connections')).json;
  assert.deepEqual(connections.find((c) => c.transport === 'sse').channels, ['room:*', 'other']);
  assert.equal((await d.admin('/v1/admin/kick?channel=room:*', 'POST')).json.kicked, 1);
});

claim('a purge of one channel takes its messages out of the memory of patterns too', async (t) => {
  const d = await daemon(t);
  const p = `${some()}.`;
  const f = await t.follow('sse', d, [`${p}*`]);
  for (let i = 0; i < 4; i++) await d.publish(`${p}${i % 2}`, `${i}`);
  await f.take(4);
  assert.equal((await d.admin(`/v1/admin/purge?channel=${p}1`, 'POST')).json.removed, 2);
  assert.deepEqual(numbers(await readAll(d, [`${p}*`])), [0, 2]);
});

daemon.ends();
