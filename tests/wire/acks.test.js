// SPDX-License-Identifier: MIT
// Durable subscribers: an acknowledged position survives restarts and changes of transport, and redelivery starts there.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { claim, assert, shared, fresh, refused } from './lib/claim.js';
import { until } from './lib/wait.js';
import { TRANSPORTS, query } from './lib/follow.js';

const daemon = shared({ options: { 'delivery.ack_wait_min': '50ms' } });

const data = (items) => items.map((m) => m.json.data);
const ack = (d, subscriber, channel, id, how) => d.post('/v1/ack', JSON.stringify({ subscriber, channel, id }), how);

async function acked(d, subscriber, channel, id) {
  const a = await ack(d, subscriber, channel, id);
  assert.equal(a.status, 200, a.text);
  return a.json;
}

async function publish(d, channel, n, from = 1) {
  const ids = [];
  for (let i = 0; i < n; i++) ids.push((await d.publish(channel, `${from + i}`)).id);
  return ids;
}

// The one position of a subscriber in a channel, as GET /v1/acks tells it.
async function position(d, subscriber, channel) {
  const a = await d.get(`/v1/acks?subscriber=${subscriber}`);
  assert.equal(a.status, 200, a.text);
  return a.json.acks.find((row) => row.channel === channel);
}

// Subscribe over this transport. A poll is one request here: the next one would acknowledge.
async function come(t, name, d, channels, subscriber, more = {}) {
  channels = [channels].flat();
  if (!name.endsWith('poll')) return t.follow(name, d, channels, { subscriber, ...more });
  const wait = name === 'longpoll' ? { wait: 5 } : {};
  const a = await d.get(`/v1/poll?${query(channels, { subscriber, ...more, ...wait })}`);
  assert.equal(a.status, 200, a.text);
  return { close() {}, take: async (n) => a.json.messages.splice(0, n).map((json) => ({ json })) };
}

// --- joining and resuming ---

for (const name of ['websocket', 'sse']) {
  claim(`the first durable subscription starts from now and is remembered though nothing was acknowledged: ${name}`, async (t) => {
    const d = await daemon(t);
    const [c, s] = [fresh(), fresh('sub')];
    await publish(d, c, 2);
    const f = await come(t, name, d, c, s);
    await d.untilMetric('holdfast_durable_sessions', (n) => n >= 1);
    assert.equal((await position(d, s, c)).lag, 0);
    f.close();
    await publish(d, c, 2, 3);
    assert.equal((await position(d, s, c)).lag, 2);
    const g = await come(t, name === 'sse' ? 'websocket' : 'sse', d, c, s);
    assert.deepEqual(data(await g.take(2)), ['3', '4']);
  });
}

claim('what was acknowledged stays acknowledged: over every transport and after kill -9', { ms: 40000 }, async (t) => {
  const d = await t.daemon();
  const [c, s] = ['news', 'worker-1'];
  await d.get(`/v1/poll?channel=${c}&subscriber=${s}`);
  const ids = await publish(d, c, 10);
  for (const [i, name] of TRANSPORTS.entries()) {
    const f = await come(t, name, d, c, s);
    const got = await f.take(10 - i);
    assert.deepEqual(data(got), ids.slice(i).map((_, k) => `${i + k + 1}`), name);
    assert.deepEqual((await acked(d, s, c, ids[i])), { subscriber: s, channel: c, id: ids[i] });
    f.close();
    await d.restart({ kill: true });
  }
  const f = await come(t, 'sse', d, c, s);
  assert.deepEqual(data(await f.take(6)), ['5', '6', '7', '8', '9', '10']);
});

claim('a start with since or last is remembered: nothing acknowledged, kill -9, and it begins there again', { ms: 40000 }, async (t) => {
  const d = await t.daemon();
  for (const [name, more, want] of [
    ['websocket', { last: 2 }, ['4', '5']], ['sse', { since: 1 }, ['2', '3', '4', '5']],
    ['longpoll', { last: 3 }, ['3', '4', '5']], ['sse', { since: '0' }, ['1', '2', '3', '4', '5']],
    ['shortpoll', { since: '0' }, ['1', '2', '3', '4', '5']], ['sse', { last: 0 }, []],
    ['websocket', { since: 'nonsense' }, ['1', '2', '3', '4', '5']],
  ]) {
    const [c, s] = [fresh(), fresh('sub')];
    const ids = await publish(d, c, 5);
    const f = await come(t, name, d, c, s, more.since === 1 ? { since: ids[0] } : more);
    if (more.since === 'nonsense') await f.takeGap();
    assert.deepEqual(data(await f.take(want.length)), want, name);
    f.close();
    await d.restart({ kill: true });
    await d.publish(c, 'end');
    const g = await come(t, 'websocket', d, c, s);
    assert.deepEqual(data(await g.take(want.length + 1)), [...want, 'end'], `${name} ${JSON.stringify(more)}`);
    g.close();
  }
});

claim('an explicit cursor wins, and moves nothing on a stream', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const ids = await publish(d, c, 5);
  await acked(d, s, c, ids[3]);
  const f = await come(t, 'sse', d, c, s, { since: ids[0] });
  assert.deepEqual(data(await f.take(4)), ['2', '3', '4', '5']);
  f.close();
  assert.equal((await position(d, s, c)).id, ids[3]);
  const g = await come(t, 'websocket', d, c, s, { since: ids[4] });
  await d.publish(c, '6');
  assert.deepEqual(data(await g.take(1)), ['6']);
  g.close();
  assert.equal((await position(d, s, c)).id, ids[3]);
});

claim('several channels each resume at their own position, in log order', async (t) => {
  const d = await daemon(t);
  const [a, b, s] = [fresh(), fresh(), fresh('sub')];
  const ids = [];
  for (let i = 0; i < 8; i++) ids.push((await d.publish(i % 2 ? b : a, `${i}`)).id);
  await acked(d, s, a, ids[4]);
  await acked(d, s, b, ids[1]);
  for (const name of TRANSPORTS) {
    const f = await come(t, name, d, [a, b], s);
    assert.deepEqual(data(await f.take(4)), ['3', '5', '6', '7'], name);
    f.close();
  }
});

claim('kill -9 in the midst of acknowledging: every answered ack is kept, and what comes next is exactly the rest', { ms: 120000 }, async (t) => {
  const d = await t.daemon();
  const names = ['s1', 's2', 's3'];
  const known = Object.fromEntries(names.map((s) => [s, -1])); // index of the newest answered ack
  const ids = [];
  for (let i = 0; i < 400; i++) ids.push(i);
  const made = (await d.post('/v1/publish?channel=a&batch=lines', ids.map((i) => `${i}`).join('\n'))).json.ids;
  for (let round = 0; round < 3; round++) {
    const goal = (round + 1) * 50;
    let stop = false;
    // Nobody runs far ahead of the others, whatever the machine does to them: there must be a rest to resume with.
    const acker = async (s) => {
      for (let i = known[s] + 1; ; i++) {
        await until(() => stop || i <= Math.min(...Object.values(known)) + 30, 30000, 'the slowest');
        if (stop) return;
        try {
          const a = await ack(d, s, 'a', made[i]);
          if (a.status === 200) known[s] = i;
        } catch (err) {
          if (/ECONN|EPIPE|socket hang up/.test(`${err.code} ${err.message}`)) return;
          throw err;
        }
      }
    };
    const all = names.map(acker);
    await until(() => names.every((s) => known[s] >= goal), 30000, `${goal} answered acks each`);
    await d.kill9();
    stop = true;
    await Promise.all(all);
    await d.restart();
    for (const [i, s] of names.entries()) {
      const f = await come(t, ['websocket', 'sse'][(round + i) % 2], d, 'a', s, { ack_wait: 0 });
      const [m] = await f.take(1);
      // one more may have been kept than was answered
      const at = made.indexOf(m.json.id);
      assert.ok(at === known[s] + 1 || at === known[s] + 2, `${s}: acknowledged ${known[s]}, resumed with ${at}`);
      assert.deepEqual((await f.take(made.length - at - 1)).map((x) => x.json.id), made.slice(at + 1));
      f.close();
    }
  }
});

claim('an orderly restart keeps positions, and a backup has them', async (t) => {
  const d = await t.daemon({ options: { 'server.drain_grace': '200ms' } });
  const ids = await publish(d, 'a', 3);
  await acked(d, 's', 'a', ids[1]);
  await d.restart();
  assert.equal((await position(d, 's', 'a')).id, ids[1]);
  const copy = `${d.dir}/copy.db`;
  assert.equal((await d.admin(`/v1/admin/backup?path=${copy}`, 'POST')).status, 200);
  const restored = await t.daemon({ options: { 'store.database': copy } });
  const f = await come(t, 'sse', restored, 'a', 's');
  assert.deepEqual(data(await f.take(1)), ['3']);
});

// --- polls ---

claim('the next cursor of a durable poll is its acknowledgement', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const poll = async (more = '') => (await d.get(`/v1/poll?channel=${c}&subscriber=${s}${more}`)).json;
  const first = await poll();
  assert.deepEqual(first.messages, []);
  const ids = await publish(d, c, 3);
  const again = await poll();
  assert.deepEqual(again.messages.map((m) => m.id), ids);
  assert.deepEqual((await poll()).messages.map((m) => m.id), ids, 'without a cursor nothing is acknowledged');
  assert.equal((await position(d, s, c)).lag, 3);
  assert.deepEqual((await poll(`&since=${again.cursor}`)).messages, []);
  assert.equal((await position(d, s, c)).id, again.cursor);
  // backwards: served, but not unacknowledged
  assert.deepEqual((await poll(`&since=${ids[0]}`)).messages.map((m) => m.id), ids.slice(1));
  assert.equal((await position(d, s, c)).id, again.cursor);
  const late = d.get(`/v1/poll?channel=${c}&subscriber=${s}&wait=10`);
  await d.untilMetric('holdfast_sessions{transport="longpoll"}', (n) => n === 1);
  const [id] = await publish(d, c, 1, 4);
  assert.deepEqual((await late).json.messages.map((m) => m.id), [id]);
  assert.match((await d.get(`/v1/poll?channel=${c}&subscriber=${s}`)).headers['cache-control'], /private|no-store/);
});

claim('a poll with If-None-Match as its only cursor acknowledges with it', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const [id] = await publish(d, c, 1);
  const a = await d.get(`/v1/poll?channel=${c}&subscriber=${s}`, { headers: { 'if-none-match': `"${id}"` } });
  assert.equal(a.status, 304);
  assert.equal((await position(d, s, c)).id, id);
});

claim('a cursor that is no good acknowledges nothing', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const ids = await publish(d, c, 2);
  await acked(d, s, c, ids[0]);
  for (const since of ['other1.99', 'nonsense', ids[0].replace(/\d+$/, '999999999')]) {
    const p = (await d.get(`/v1/poll?channel=${c}&subscriber=${s}&since=${since}`)).json;
    assert.equal(p.gaps.length, 1, since);
    assert.equal((await position(d, s, c)).id, ids[0], since);
  }
});

// --- acknowledging ---

claim('acks over WebSocket are cumulative, tell the kept position, and never go back', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  const ok = await w.command({ type: 'subscribe', channel: c, subscriber: s });
  assert.equal(ok.type, 'ok');
  assert.deepEqual(ok.channels, [c]);
  assert.equal(ok.subscriber, s);
  const ids = await publish(d, c, 4);
  await w.messages(4);
  assert.deepEqual(await w.command({ type: 'ack', channel: c, id: ids[2], ref: 1 }), { type: 'ok', ref: 1, subscriber: s, channel: c, id: ids[2] });
  assert.deepEqual(await w.command({ type: 'ack', channel: c, id: ids[0], ref: 2 }), { type: 'ok', ref: 2, subscriber: s, channel: c, id: ids[2] });
  assert.deepEqual(await w.command({ type: 'ack', channel: c, subscriber: `${s}x`, id: ids[1], ref: 3 }), { type: 'ok', ref: 3, subscriber: `${s}x`, channel: c, id: ids[1] });
  assert.equal((await position(d, s, c)).id, ids[2]);
});

claim('what can not be acknowledged is refused by name', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const [id] = await publish(d, c, 1);
  const beyond = id.replace(/\d+$/, (n) => `${BigInt(n) + 1000000000n}`);
  refused(await ack(d, s, c, beyond), 400, 'bad_parameter');
  refused(await ack(d, s, c, 'other1.1'), 400, 'bad_parameter');
  refused(await ack(d, s, c, '17'), 400, 'bad_parameter');
  refused(await ack(d, 'two words', c, id), 400, 'bad_parameter');
  refused(await ack(d, '', c, id), 400, 'bad_parameter');
  refused(await ack(d, s, 'bad channel', id), 400, 'bad_channel');
  refused(await d.post('/v1/ack', '{"subscriber":"s"'), 400, 'bad_json');
  refused(await d.post('/v1/ack', '[]'), 400, 'bad_json');
  refused(await d.post('/v1/ack', JSON.stringify({ subscriber: s, channel: c })), 400, 'bad_parameter');
  refused(await d.post('/v1/ack', JSON.stringify({ subscriber: s, acks: [] })), 400, 'bad_parameter');
  refused(await d.post('/v1/ack', JSON.stringify({ subscriber: s, acks: [7] })), 400, 'bad_parameter');
  refused(await d.post('/v1/ack', JSON.stringify({ subscriber: s, acks: Array(2000).fill({ channel: c, id }) })), 400, 'too_many_channels');
  refused(await d.get('/v1/ack'), 405, 'method_not_allowed');
  for (const more of ['subscriber=two%20words', 'subscriber=', 'subscriber=s&max_in_flight=0', 'subscriber=s&max_in_flight=x', 'subscriber=s&ack_wait=soon']) {
    for (const path of ['/v1/poll', '/v1/sse']) refused(await d.get(`${path}?channel=${c}&${more}`), 400, 'bad_parameter');
  }
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  const error = async (frame) => (await w.command(frame)).code;
  assert.equal(await error({ type: 'ack', channel: c, id }), 'bad_parameter');
  assert.equal(await error({ type: 'ack', subscriber: s, channel: c, id: beyond }), 'bad_parameter');
  assert.equal(await error({ type: 'ack', subscriber: s, id }), 'no_channel');
  assert.equal(await error({ type: 'ack', subscriber: s, channel: c }), 'bad_parameter');
  assert.equal(await error({ type: 'ack', subscriber: 5, channel: c, id }), 'bad_parameter');
  assert.equal(await error({ type: 'subscribe', subscriber: 'two words', channel: c }), 'bad_parameter');
  assert.equal(await error({ type: 'subscribe', subscriber: s, channel: c, max_in_flight: 0 }), 'bad_parameter');
  assert.equal(await error({ type: 'subscribe', subscriber: s, channel: c, ack_wait: 'x' }), 'bad_parameter');
  assert.equal((await w.command({ type: 'subscribe', subscriber: s, channel: c })).type, 'ok');
  assert.equal(await error({ type: 'subscribe', subscriber: `${s}2`, channel: fresh() }), 'bad_parameter');
  refused(await d.get(`/v1/ws?channel=${c}&subscriber=s&format=raw`, { headers: { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' } }), 400, 'bad_parameter');
});

claim('many acknowledgements in one request, each with its kept position', async (t) => {
  const d = await daemon(t);
  const [a, b, s] = [fresh(), fresh(), fresh('sub')];
  const [x] = await publish(d, a, 1);
  const [y] = await publish(d, b, 1);
  const r = await d.post('/v1/ack', JSON.stringify({ subscriber: s, acks: [{ channel: a, id: x }, { channel: b, id: y }] }));
  assert.deepEqual(r.json, { subscriber: s, acks: [{ channel: a, id: x }, { channel: b, id: y }] });
});

claim('a thousand acks at once are one change per position and few commits', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const w = await t.ws(d, `/v1/ws?channel=${c}&subscriber=${s}`);
  await w.hello();
  const body = Array.from({ length: 1000 }, (_, i) => `${i}`).join('\n');
  const { ids } = (await d.post(`/v1/publish?channel=${c}&batch=lines`, body)).json;
  await w.messages(1000);
  const before = await d.metric('holdfast_commits_total');
  for (const id of ids.slice(0, -1)) w.send({ type: 'ack', channel: c, id });
  const last = await w.command({ type: 'ack', channel: c, id: ids.at(-1) });
  assert.equal(last.id, ids.at(-1));
  const commits = (await d.metric('holdfast_commits_total')) - before;
  assert.ok(commits < 700, `${commits} commits for 1000 acks`);
});

// --- in flight ---

claim('no more than max_in_flight messages are sent beyond what is acknowledged, and acks from elsewhere make room', async (t) => {
  const d = await daemon(t);
  for (const name of ['websocket', 'sse']) {
    const [c, s] = [fresh(), fresh('sub')];
    const f = await come(t, name, d, c, s, { max_in_flight: 3, ack_wait: 0 });
    const other = await t.follow('sse', d, [c]);
    const ids = await publish(d, c, 10);
    assert.equal((await other.take(10)).length, 10, 'others wait for nobody');
    assert.deepEqual(data(await f.take(3)), ['1', '2', '3']);
    await acked(d, s, c, ids[1]);
    assert.deepEqual(data(await f.take(2)), ['4', '5']);
    await acked(d, s, c, ids[4]);
    assert.deepEqual(data(await f.take(3)), ['6', '7', '8']);
    assert.equal(f.items.items?.length ?? 0, 0, 'nothing beyond the window');
    await acked(d, s, c, ids[9]);
    assert.deepEqual(data(await f.take(2)), ['9', '10']);
    await d.publish(c, 'live');
    assert.deepEqual(data(await f.take(1)), ['live']);
    f.close();
  }
});

claim('a window of one, far behind, over the log', async (t) => {
  const d = await t.daemon({ options: { 'limits.recent_count': 4 } });
  await d.post('/v1/publish?channel=a&batch=lines', Array.from({ length: 50 }, (_, i) => `${i}`).join('\n'));
  const f = await come(t, 'websocket', d, 'a', 's', { since: '0', max_in_flight: 1 });
  for (let i = 0; i < 50; i++) {
    const [m] = await f.take(1);
    assert.equal(m.json.data, `${i}`);
    assert.equal(m.json.redelivered, undefined);
    await acked(d, 's', 'a', m.json.id);
  }
});

claim('what is not acknowledged in ack_wait is sent again, marked, and ends with the ack', async (t) => {
  const d = await daemon(t);
  for (const name of ['websocket', 'sse']) {
    const [c, s] = [fresh(), fresh('sub')];
    const f = await come(t, name, d, c, s, { ack_wait: 0.1 });
    const ids = await publish(d, c, 3);
    const got = await f.take(9);
    assert.deepEqual(got.slice(0, 3).map((m) => [m.json.id, m.json.redelivered]), ids.map((id) => [id, undefined]), name);
    for (const id of ids) {
      assert.deepEqual(got.filter((m) => m.json.id === id).map((m) => m.json.redelivered), [undefined, 1, 2], name);
    }
    const keys = Object.keys(got[3].json);
    assert.deepEqual(keys.slice(-2), ['redelivered', 'data']);
    await acked(d, s, c, ids[1]);
    await d.publish(c, 'mark');
    let seen;
    for (const before = []; ; before.push(seen)) {
      [seen] = await f.take(1);
      if (seen.json.data === 'mark' && seen.json.redelivered >= 2) {
        // the two that were acknowledged before the mark was even published did not come after it
        const at = before.findIndex((m) => m.json.data === 'mark');
        assert.ok(before.slice(at).every((m) => m.json.id === ids[2] || m.json.data === 'mark'), name);
        break;
      }
    }
    f.close();
  }
});

claim('redelivery goes on while the window is full', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const f = await come(t, 'websocket', d, c, s, { ack_wait: 0.1, max_in_flight: 2 });
  const ids = await publish(d, c, 4);
  const got = await f.take(6);
  assert.deepEqual(got.map((m) => [m.json.data, m.json.redelivered ?? 0]), [['1', 0], ['2', 0], ['1', 1], ['2', 1], ['1', 2], ['2', 2]]);
  await acked(d, s, c, ids[1]);
  for (;;) {
    const [m] = await f.take(1);
    if (m.json.data === '4') break;
    assert.ok(['1', '2', '3'].includes(m.json.data));
  }
});

claim('other channels of the connection are not sent again', async (t) => {
  const d = await daemon(t);
  const [a, b, s] = [fresh(), fresh(), fresh('sub')];
  const w = await t.ws(d, `/v1/ws?channel=${b}`);
  await w.hello();
  assert.equal((await w.command({ type: 'subscribe', channel: a, subscriber: s, ack_wait: 0.1 })).type, 'ok');
  await d.publish(a, 'a1');
  await d.publish(b, 'b1');
  await d.publish(a, 'a2');
  const seen = (await w.messages(7)).map((m) => m.json.data);
  assert.deepEqual(seen.slice(0, 3), ['a1', 'b1', 'a2']);
  assert.equal(seen.filter((x) => x === 'b1').length, 1, seen.join());
});

claim('a slow durable consumer misses nothing: window, full socket and redelivery together', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options: { 'delivery.ack_wait_min': '50ms', 'limits.out_queue_bytes': '64KiB', 'limits.replay_window_bytes': '8KiB' } });
  const w = await t.ws(d, '/v1/ws?channel=a&channel=b&subscriber=s&max_in_flight=40&ack_wait=0.2');
  await w.hello();
  const ids = [];
  w.pause();
  for (let i = 0; i < 120; i++) ids.push((await d.publish(i % 3 ? 'a' : 'b', `${i}`.padEnd(4000, '.'))).id);
  w.resume();
  const first = [];
  const last = { a: ids.filter((_, i) => i % 3).at(-1), b: ids.filter((_, i) => i % 3 === 0).at(-1) };
  while (first.length < ids.length) {
    const { json } = await w.next(5000);
    assert.ok(json.type === 'message' || json.type === 'ok', json.type);
    if (json.type !== 'message') continue;
    if (!json.redelivered) first.push(json.id);
    if (json.redelivered || first.length % 10 === 0) w.send({ type: 'ack', channel: json.channel, id: json.id });
  }
  assert.deepEqual(first, ids);
  for (const c of ['a', 'b']) assert.equal((await w.command({ type: 'ack', channel: c, id: last[c] })).id, last[c]);
});

claim('two sessions of one subscriber: an ack on one is heard by the other', async (t) => {
  const d = await t.daemon({ options: { 'server.workers': 4, 'delivery.ack_wait_min': '50ms' } });
  const all = [];
  for (let i = 0; i < 6; i++) all.push(await come(t, i % 2 ? 'sse' : 'websocket', d, 'a', 's', { max_in_flight: 1, ack_wait: 0 }));
  await d.untilMetric('holdfast_durable_sessions', (n) => n === 6);
  const ids = await publish(d, 'a', 3);
  for (let i = 0; i < 3; i++) {
    for (const f of all) assert.deepEqual(data(await f.take(1)), [`${i + 1}`]);
    await acked(d, 's', 'a', ids[i]);
  }
});

claim('with presence: a durable subscription is told the members and who comes', async (t) => {
  const d = await t.daemon({ config: { namespace: { presence: 'yes' } }, options: { 'presence.batch': '10ms' } });
  const w = await t.ws(d, '/v1/ws?channel=b');
  await w.hello();
  const ok = await w.command({ type: 'subscribe', channel: 'a', subscriber: 's', presence: true, max_in_flight: 1, ack_wait: 0 });
  assert.equal(ok.type, 'ok');
  for (;;) {
    const { json } = await w.next(5000);
    if (json.type === 'presence' && json.channel === 'a') break;
  }
  const [id] = await publish(d, 'a', 1);
  for (;;) if ((await w.next(5000)).json.id === id) break;
  const other = await t.ws(d, '/v1/ws?channel=a');
  await other.hello();
  for (;;) {
    const { json } = await w.next(5000);
    if (json.type === 'join' && json.channel === 'a') break;
  }
  assert.equal((await w.command({ type: 'ack', channel: 'a', id })).id, id);
});

claim('unsubscribing leaves the position where it is', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  await w.command({ type: 'subscribe', channel: c, subscriber: s });
  const ids = await publish(d, c, 3);
  await w.messages(3);
  await w.command({ type: 'ack', channel: c, id: ids[0] });
  assert.equal((await w.command({ type: 'unsubscribe', channel: c })).type, 'ok');
  const ok = await w.command({ type: 'subscribe', channel: c, subscriber: s });
  assert.equal(ok.cursor, ids[0]);
  assert.deepEqual((await w.messages(2)).map((m) => m.json.id), ids.slice(1));
  assert.equal((await w.command({ type: 'subscribe', channel: c, subscriber: s })).type, 'ok', 'twice changes nothing');
});

// --- looking ---

claim('GET /v1/acks tells subscribers, positions and lag, exact up to a cap, page by page', async (t) => {
  const d = await t.daemon({ options: { 'limits.lag_count': 5 }, config: { 'namespace closed': { subscribe: 'admin' } } });
  const ids = await publish(d, 'a', 7);
  const before = Date.now();
  await acked(d, 'x', 'a', ids[4]);
  await acked(d, 'y', 'a', ids[0]);
  await acked(d, 'z', 'a', ids[6]);
  const rows = (await d.get('/v1/acks?channel=a')).json;
  assert.equal(rows.more, false);
  assert.deepEqual(rows.acks.map(({ updated_ts, ...row }) => {
    assert.ok(updated_ts >= before && updated_ts <= Date.now() + 1000);
    return row;
  }), [
    { subscriber: 'x', channel: 'a', id: ids[4], lag: 2 },
    { subscriber: 'y', channel: 'a', id: ids[0], lag_at_least: 5 },
    { subscriber: 'z', channel: 'a', id: ids[6], lag: 0 },
  ]);
  let next = '';
  for (const name of ['x', 'y', 'z']) {
    const page = (await d.get(`/v1/acks?channel=a&limit=1${next}`)).json;
    assert.deepEqual(page.acks.map((r) => r.subscriber), [name]);
    assert.equal(page.more, name !== 'z');
    next = `&after=${encodeURIComponent(page.next)}`;
  }
  const closed = await d.admin('/v1/publish?channel=closed:c', 'POST', { body: 'x' });
  await d.admin('/v1/ack', 'POST', { body: JSON.stringify({ subscriber: 'x', channel: 'closed:c', id: closed.json.id }) });
  refused(await ack(d, 'x', 'closed:c', closed.json.id), 403, 'forbidden');
  refused(await d.get('/v1/acks?channel=closed:c'), 403, 'forbidden');
  assert.deepEqual((await d.get('/v1/acks?subscriber=x')).json.acks.map((r) => r.channel), ['a']);
  assert.deepEqual((await d.admin('/v1/acks?subscriber=x')).json.acks.map((r) => r.channel), ['a', 'closed:c']);
  assert.equal((await d.admin('/v1/acks')).json.acks.length, 4);
  refused(await d.get('/v1/acks'), 400, 'bad_parameter');
  refused(await d.get('/v1/acks?channel=a&subscriber=x'), 400, 'bad_parameter');
  refused(await d.get('/v1/acks?channel=a&limit=0'), 400, 'bad_parameter');
  refused(await d.request('DELETE', '/v1/acks?subscriber=x'), 403, 'forbidden');
});

claim('DELETE /v1/acks forgets one channel, or all of a subscriber, for good', async (t) => {
  const d = await t.daemon();
  const ids = await publish(d, 'a', 1);
  const many = Array.from({ length: 200 }, (_, i) => ({ channel: `c${i}`, id: ids[0] }));
  assert.equal((await d.post('/v1/ack', JSON.stringify({ subscriber: 's', acks: many }))).status, 200);
  await acked(d, 'other', 'c7', ids[0]);
  assert.deepEqual((await d.admin('/v1/acks?subscriber=s&channel=c7', 'DELETE')).json, { forgotten: 1 });
  assert.deepEqual((await d.admin('/v1/acks?subscriber=s&channel=c7', 'DELETE')).json, { forgotten: 0 });
  assert.deepEqual((await d.admin('/v1/acks?subscriber=s', 'DELETE')).json, { forgotten: 199 });
  refused(await d.admin('/v1/acks', 'DELETE'), 400, 'bad_parameter');
  await d.restart({ kill: true });
  assert.deepEqual((await d.admin('/v1/acks')).json.acks.map((r) => `${r.subscriber} ${r.channel}`), ['other c7']);
});

// --- retention, limits, expiry ---

claim('retention that passes an acknowledged position is a gap at the next resume, and is seen in the metrics before', async (t) => {
  const d = await t.daemon({ config: { namespace: { history_count: 10 } } });
  const [first] = await publish(d, 'a', 1);
  await acked(d, 's', 'a', first);
  await publish(d, 'a', 5, 2);
  await d.untilMetric('holdfast_durable_retention_used_percent', (n) => n === 50);
  assert.equal(await d.metric('holdfast_durable_positions'), 1);
  assert.equal(await d.metric('holdfast_durable_positions_passed_total'), 0);
  await publish(d, 'a', 10, 7);
  await d.untilMetric('holdfast_durable_positions_passed_total', (n) => n === 1);
  await d.untilMetric('holdfast_durable_retention_used_percent', (n) => n === 100);
  const f = await come(t, 'sse', d, 'a', 's');
  const gap = await f.takeGap();
  assert.equal(gap.from, first);
  assert.equal(gap.reason, 'retention');
  const got = await f.take(10);
  assert.deepEqual(data(got), ['7', '8', '9', '10', '11', '12', '13', '14', '15', '16']);
  await acked(d, 's', 'a', got.at(-1).json.id);
  await d.untilMetric('holdfast_durable_retention_used_percent', (n) => n === 0);
  assert.equal(await d.metric('holdfast_durable_positions_passed_total'), 1, 'counted once');
});

claim('retention under a live session that does not acknowledge: a gap instead of redelivery, and it goes on', async (t) => {
  const d = await t.daemon({ options: { 'delivery.ack_wait_min': '50ms' }, config: { namespace: { history_count: 2 } } });
  const f = await come(t, 'websocket', d, 'a', 's', { ack_wait: 0.3, max_in_flight: 100 });
  await publish(d, 'a', 6);
  assert.deepEqual(data(await f.take(6)), ['1', '2', '3', '4', '5', '6']);
  await d.untilMetric('holdfast_messages_trimmed_total', (n) => n >= 4);
  for (;;) {
    const { json } = await f.items.next(5000, 'redelivery');
    if (json.type === 'gap') continue; // what was sent again from memory before is fine
    assert.ok(json.redelivered >= 1);
    if (json.data === '6') break;
  }
});

claim('memory-only channels: the position outlives the messages, so a client that comes back is told of the gap', async (t) => {
  const d = await t.daemon({ config: { 'namespace ram': { durability: 'memory' } } });
  await d.get('/v1/poll?channel=ram:a&subscriber=s');
  const ids = await publish(d, 'ram:a', 3);
  await acked(d, 's', 'ram:a', ids[0]);
  assert.equal((await position(d, 's', 'ram:a')).lag, 2);
  const f = await come(t, 'sse', d, 'ram:a', 's');
  assert.deepEqual(data(await f.take(2)), ['2', '3']);
  f.close();
  await d.restart({ kill: true });
  const g = await come(t, 'sse', d, 'ram:a', 's');
  assert.equal((await g.takeGap()).from, ids[0]);
});

claim('the memory engine keeps positions while it runs', async (t) => {
  const d = await t.daemon({ options: { 'store.engine': 'memory' }, config: { namespace: { durability: 'memory', history_count: 4 } } });
  const ids = await publish(d, 'a', 3);
  await acked(d, 's', 'a', ids[0]);
  await acked(d, 'r', 'b', ids[0]);
  const f = await come(t, 'websocket', d, 'a', 's');
  assert.deepEqual(data(await f.take(2)), ['2', '3']);
  assert.deepEqual((await d.admin('/v1/acks')).json.acks.map((r) => `${r.subscriber} ${r.channel} ${r.lag}`), ['r b 0', 's a 2']);
  assert.deepEqual((await d.get('/v1/acks?channel=b')).json.acks.map((r) => r.subscriber), ['r']);
  await publish(d, 'a', 4, 4);
  await d.untilMetric('holdfast_durable_positions_passed_total', (n) => n === 1);
  assert.deepEqual((await d.admin('/v1/acks?subscriber=s', 'DELETE')).json, { forgotten: 1 });
});

claim('more positions than allowed are refused; those that are there go on', async (t) => {
  const d = await t.daemon({ options: { 'store.ack_positions': 2 } });
  const ids = await publish(d, 'a', 2);
  await acked(d, 'x', 'a', ids[0]);
  await acked(d, 'y', 'a', ids[0]);
  refused(await ack(d, 'z', 'a', ids[0]), 503, 'overloaded');
  refused(await d.get('/v1/poll?channel=a&subscriber=z'), 503, 'overloaded');
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  assert.equal((await w.command({ type: 'subscribe', channel: 'a', subscriber: 'z' })).code, 'overloaded');
  await acked(d, 'x', 'a', ids[1]);
  assert.equal(await d.metric('holdfast_acks_refused_total'), 3);
  await d.admin('/v1/acks?subscriber=y', 'DELETE');
  await acked(d, 'z', 'a', ids[0]);
});

claim('a subscriber that was not heard of is forgotten, one that is connected is not', async (t) => {
  const d = await t.daemon({ options: { 'store.ack_expiry': '1500ms' } });
  const ids = await publish(d, 'a', 1);
  const f = await come(t, 'sse', d, 'a', 'here');
  await d.untilMetric('holdfast_durable_sessions', (n) => n === 1);
  await acked(d, 'gone', 'a', ids[0]);
  await d.untilMetric('holdfast_durable_positions_expired_total', (n) => n === 1, 10000);
  assert.deepEqual((await d.admin('/v1/acks')).json.acks.map((r) => r.subscriber), ['here']);
  f.close();
  await d.untilMetric('holdfast_durable_positions_expired_total', (n) => n === 2, 10000);
});

claim('while the store can not be written, acks and durable subscriptions are refused, and nothing of them is kept', async (t) => {
  const d = await t.daemon();
  const ids = await publish(d, 'a', 2);
  await acked(d, 's', 'a', ids[0]);
  const locker = spawn('sqlite3', [`${d.dataDir}/holdfast.db`], { stdio: ['pipe', 'pipe', 'ignore'] });
  t.cleanup(() => locker.kill('SIGKILL'));
  locker.stdin.write("BEGIN IMMEDIATE; SELECT 'locked';\n");
  await once(locker.stdout, 'data');
  refused(await ack(d, 's', 'a', ids[1]), 503, 'store_unavailable');
  refused(await d.get('/v1/poll?channel=a&subscriber=s'), 503, 'store_unavailable');
  const w = await t.ws(d, '/v1/ws?channel=a&subscriber=s');
  assert.equal((await w.end()).code, 1013);
  assert.equal((await position(d, 's', 'a')).id, ids[0]);
  const gone = once(locker, 'close');
  locker.stdin.end('ROLLBACK;\n');
  await gone;
  await d.untilMetric('holdfast_store_available', (n) => n === 1);
  await acked(d, 's', 'a', ids[1]);
});

claim('sync namespaces acknowledge with a sync, and positions survive there too', async (t) => {
  const d = await t.daemon({ config: { 'namespace safe': { durability: 'sync' } } });
  const ids = await publish(d, 'safe:a', 2);
  await acked(d, 's', 'safe:a', ids[0]);
  await d.restart({ kill: true });
  assert.equal((await position(d, 's', 'safe:a')).id, ids[0]);
});

daemon.ends();
