// SPDX-License-Identifier: MIT
// docs/guarantees.md read by somebody who wishes it ill: what clients could do at the edges of a promise.

import { claim, assert, fresh, refused, shared } from './lib/claim.js';
import { until } from './lib/wait.js';
import { attend, members } from './lib/present.js';

const config = { 'namespace room': { presence: 'yes' }, presence: { grace: '400ms', batch: '20ms' }, 'namespace few': { history_count: 3 } };
const daemon = shared({ config, options: { 'delivery.ack_wait_min': '50ms' } });

const text = { headers: { 'content-type': 'text/plain' } };
const post = (d, channel, payload, headers = {}, query = '') => d.post(`/v1/publish?channel=${channel}${query}`, payload, { headers: { ...text.headers, ...headers } });
const stored = async (d, channel) => (await d.get(`/v1/history?channel=${channel}`)).json.messages.map((m) => m.data);
const ack = (d, subscriber, channel, id) => d.post('/v1/ack', JSON.stringify({ subscriber, channel, id }));
const position = async (d, subscriber, channel) => (await d.get(`/v1/acks?subscriber=${subscriber}`)).json.acks.find((a) => a.channel === channel)?.id;

// --- positions ---

claim('an id that was never delivered, or is of another channel, may be acknowledged; then it is not delivered without a cursor', async (t) => {
  const d = await daemon(t);
  const [c, other, s] = [fresh(), fresh(), fresh('sub')];
  const ids = [];
  for (let i = 0; i < 4; i++) ids.push((await d.publish(i === 2 ? other : c, `${i}`)).id);
  assert.equal((await ack(d, s, c, ids[2])).json.id, ids[2]);
  const p = (await d.get(`/v1/poll?channel=${c}&subscriber=${s}`)).json;
  assert.deepEqual(p.messages.map((m) => m.data), ['3']);
});

claim('acknowledgements that go backwards, in one request and at the same time, move nothing back', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const ids = [];
  for (let i = 0; i < 20; i++) ids.push((await d.publish(c, `${i}`)).id);
  const r = await d.post('/v1/ack', JSON.stringify({ subscriber: s, acks: [...ids].reverse().map((id) => ({ channel: c, id })) }));
  assert.deepEqual(new Set(r.json.acks.map((a) => a.id)), new Set([ids[19]]));
  await Promise.all(ids.map((id) => ack(d, s, c, id)));
  assert.equal(await position(d, s, c), ids[19]);
});

claim('an acknowledgement of another epoch is refused, and so is all that is with it', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const { id } = await d.publish(c, 'x');
  refused(await d.post('/v1/ack', JSON.stringify({ subscriber: s, acks: [{ channel: c, id }, { channel: c, id: `zzzzzz.${id.split('.')[1]}` }] })), 400, 'bad_parameter');
  assert.equal(await position(d, s, c), undefined);
});

claim('one name on two transports at once: both get all, an acknowledgement of one is heard by the other', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  const w = await t.follow('websocket', d, [c], { subscriber: s, max_in_flight: 2, ack_wait: 0 });
  const e = await t.follow('sse', d, [c], { subscriber: s, max_in_flight: 2, ack_wait: 0 });
  await d.untilMetric('holdfast_durable_sessions', (n) => n >= 2);
  const ids = [];
  for (let i = 0; i < 6; i++) ids.push((await d.publish(c, `${i}`)).id);
  for (const upto of [1, 3, 5]) {
    for (const f of [w, e]) assert.deepEqual((await f.take(2)).map((m) => m.json.id), ids.slice(upto - 1, upto + 1));
    assert.equal((await ack(d, s, c, ids[upto])).status, 200);
  }
});

claim('a durable poll does not go by max_in_flight: its cursor is its acknowledgement', async (t) => {
  const d = await daemon(t);
  const [c, s] = [fresh(), fresh('sub')];
  await d.get(`/v1/poll?channel=${c}&subscriber=${s}`);
  for (let i = 0; i < 5; i++) await d.publish(c, `${i}`);
  for (let turn = 0; turn < 2; turn++) {
    const p = (await d.get(`/v1/poll?channel=${c}&subscriber=${s}&max_in_flight=1`)).json;
    assert.deepEqual(p.messages.map((m) => m.data), ['0', '1', '2', '3', '4']);
  }
});

claim('retention that passes the position is a gap with its bounds, on every transport', async (t) => {
  const d = await daemon(t);
  const [c, s] = [`few:${fresh()}`, fresh('sub')];
  const ids = [];
  for (let i = 0; i < 8; i++) {
    ids.push((await d.publish(c, `${i}`)).id);
    if (i === 1) await ack(d, s, c, ids[0]);
  }
  await until(async () => (await stored(d, c)).length === 3, 5000, 'retention');
  for (const name of ['websocket', 'sse', 'longpoll', 'shortpoll']) {
    let gap;
    if (name.endsWith('poll')) [gap] = (await d.get(`/v1/poll?channel=${c}&subscriber=${s}`)).json.gaps;
    else gap = await (await t.follow(name, d, [c], { subscriber: s })).takeGap();
    assert.deepEqual([gap.reason, gap.from, gap.to, gap.oldest], ['retention', ids[0], ids[4], ids[5]], name);
  }
});

// --- publishing ---

claim('a key again with another body is the first publish; to another channel it is another key', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  const first = (await post(d, a, 'one', { 'idempotency-key': 'k' })).json;
  const again = (await post(d, a, 'two\nthree', { 'idempotency-key': 'k' }, '&batch=lines')).json;
  assert.equal(again.duplicate, true);
  assert.equal(again.id, first.id);
  assert.equal((await post(d, b, 'four', { 'idempotency-key': 'k' })).json.duplicate, false);
  assert.deepEqual([await stored(d, a), await stored(d, b)], [['one'], ['four']]);
});

claim('a batch over several channels of which one is refused is refused whole', async (t) => {
  const d = await t.daemon({ config: { 'namespace closed': { publish: 'admin' } } });
  for (const [bad, status, code] of [['closed:x', 403, 'forbidden'], ['with space', 400, 'bad_channel']]) {
    refused(await d.post('/v1/publish?batch=messages', JSON.stringify([{ channel: 'a', data: 1 }, { channel: bad, data: 2 }])), status, code);
  }
  refused(await d.post('/v1/publish?batch=messages', '[{"channel":"a","data":1},{"channel":"b","data":"?","encoding":"base64"}]'), 400, 'bad_parameter');
  assert.deepEqual(await stored(d, 'a'), []);
});

claim('ttl: none, negative, huge and nonsense are refused, and nothing of them is stored', async (t) => {
  const d = await daemon(t);
  const c = fresh();
  for (const ttl of ['0', '-1', '-0.0001', '1e9', '3153600001', '99999999999999999999999', 'NaN', 'inf', '', '0x10', '1s']) {
    refused(await post(d, c, 'x', {}, `&ttl=${ttl}`), 400, 'bad_parameter');
  }
  assert.deepEqual(await stored(d, c), []);
  assert.equal((await post(d, c, 'long', {}, '&ttl=3153600000')).status, 200);
  assert.deepEqual(await stored(d, c), ['long']);
});

claim('expect on a channel that never had a message: none holds once, every id is a conflict with head null', async (t) => {
  const d = await daemon(t);
  const c = fresh();
  const { id } = await d.publish(fresh(), 'elsewhere');
  const conflict = await post(d, c, 'x', {}, `&expect=${id}`);
  refused(conflict, 409, 'conflict');
  assert.equal(conflict.json.error.head, null);
  const all = await Promise.all([...Array(10).keys()].map((i) => post(d, c, `${i}`, {}, '&expect=none')));
  assert.deepEqual(all.map((a) => a.status).sort(), [200, ...Array(9).fill(409)]);
  assert.equal((await stored(d, c)).length, 1);
});

// Whoever knows the name of a session, which presence tells, can keep from it what he publishes himself; no more than by not
// publishing it.
claim('exclude with the name of somebody else keeps one message of one\'s own from him live, and history has it', async (t) => {
  const d = await daemon(t);
  const c = `room:${fresh()}`;
  const him = await attend(t, d, 'websocket', [c]);
  assert.equal((await post(d, c, 'hidden', {}, `&exclude=${him.name}`)).status, 200);
  const { id } = (await post(d, c, 'shown')).json;
  const f = await him.client.frames.find((x) => JSON.parse(x.raw).type === 'message');
  assert.equal(JSON.parse(f.raw).id, id);
  assert.deepEqual(await stored(d, c), ['hidden', 'shown']);
});

// --- sessions and presence ---

claim('one session over two transports at once is one entry with two connections', async (t) => {
  const d = await daemon(t);
  const c = `room:${fresh()}`;
  const a = await attend(t, d, 'websocket', [c]);
  const b = await attend(t, d, 'sse', [c], { session: a.session });
  assert.equal(b.session, a.session);
  let m = await members(d, c);
  assert.deepEqual([m.count, m.members.length, m.members[0].connections], [1, 1, 2]);
  a.leave();
  await until(async () => (m = await members(d, c)).members[0].connections === 1, 5000, 'one to leave');
  assert.equal(m.count, 1);
});

claim('the name of a session, its halves and guesses do not make one that session', async (t) => {
  const d = await daemon(t);
  const c = `room:${fresh()}`;
  const victim = await attend(t, d, 'websocket', [c]);
  const last = victim.session.slice(-1) === '0' ? '1' : '0';
  for (const guess of [victim.name, victim.name.padEnd(32, '0'), victim.session.slice(0, -1) + last, victim.session.toUpperCase().replace(/[0-9]/g, 'A'), `${victim.session}0`, '']) {
    const p = await attend(t, d, 'sse', [c], { session: guess });
    assert.notEqual(p.session, victim.session, guess);
    assert.notEqual(p.name, victim.name, guess);
    p.leave();
  }
  assert.equal((await members(d, c)).members.find((m) => m.session === victim.name).connections, 1);
});

claim('a client that falls back within the grace, over every transport, is neither told to leave nor to join', async (t) => {
  const d = await t.daemon({ config: { ...config, presence: { grace: '5s', batch: '20ms' } } });
  const watcher = await t.sse(d, '/v1/sse?channel=room:a');
  await watcher.hello();
  let p = await attend(t, d, 'websocket', ['room:a']);
  const { session } = p;
  const seen = async (type, name) => {
    const e = await watcher.expect(type, 5000);
    assert.ok(e.json.members.some((m) => m.session === name), e.data);
  };
  const self = await watcher.expect('join');
  if (!self.json.members.some((m) => m.session === p.name)) await seen('join', p.name);
  for (const way of ['sse', 'longpoll', 'shortpoll', 'websocket', 'sse']) {
    p.leave();
    p = await attend(t, d, way, ['room:a'], { session });
    assert.equal(p.session, session, way);
  }
  const mark = await attend(t, d, 'websocket', ['room:a']);
  await seen('join', mark.name); // the next event of all is the mark's
});

// Time passes on the server: a poll of another channel waits for so long.
claim('a poll at the very edge of its session\'s grace is the same one member afterwards, back or anew', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ config });
  let p = await attend(t, d, 'shortpoll', ['room:a']);
  const since = async () => (await members(d, 'room:a')).members[0]?.since_ts;
  let kept = 0, before = await since();
  for (let ms = 300; ms <= 520; ms += 10) {
    await d.get(`/v1/poll?channel=clock&wait=${ms / 1000}`);
    const next = await attend(t, d, 'shortpoll', ['room:a'], { session: p.session });
    assert.equal(next.session, p.session);
    await until(async () => (await members(d, 'room:a')).members.map((m) => m.session).join() === next.name, 5000, 'one member');
    const now = await since();
    kept += now === before;
    before = now;
    p = next;
  }
  assert.ok(kept >= 1 && kept < 23, `${kept} of 23 were still there`);
});

claim('thousands of joins and leaves are bounded: few events, no entry left, and memory is back', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ config: { ...config, presence: { grace: '50ms', batch: '100ms', entries: 200 } } });
  const watcher = await t.sse(d, '/v1/sse?channel=room:a');
  await watcher.hello();
  let refusals = 0, came = 0;
  await Promise.all([...Array(8).keys()].map(async () => {
    for (let i = 0; i < 300; i++) {
      const r = await d.get('/v1/poll?channel=room:a');
      if (r.status === 200) came++;
      else {
        refused(r, 503, 'overloaded');
        refusals++;
      }
    }
  }));
  assert.ok(came > 200 && refusals > 0, `${came} came, ${refusals} were refused`);
  assert.ok(await d.metric('holdfast_presence_entries') <= 200);
  await d.untilMetric('holdfast_presence_entries', (v) => v === 1, 10000);
  const m = await members(d, 'room:a');
  assert.equal(m.count, 1);
  assert.ok(await d.metric('holdfast_presence_events_total') < came / 4, 'events are told in batches');
});
