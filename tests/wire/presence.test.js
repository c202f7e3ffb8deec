// SPDX-License-Identifier: MIT
// Sessions that live across connections and transports, and who is in a channel.

import { randomBytes } from 'node:crypto';
import { claim, shared, assert, refused, fresh } from './lib/claim.js';
import { WAYS, attend, members, nameOf, names, watch } from './lib/present.js';
import { query } from './lib/follow.js';
import { until } from './lib/wait.js';

const config = {
  'namespace room': { presence: 'yes' },
  'namespace quiet': { presence: 'yes', presence_events: 'no' },
  'namespace closed': { presence: 'yes', subscribe: 'admin' },
  'namespace open': { public: 'yes' },
  'namespace openroom': { public: 'yes', presence: 'yes' },
};
const SESSION = /^[0-9a-f]{32}$/;
// Nobody leaves by time alone here; where somebody has to, there is a daemon of its own.
const daemon = shared({ options: { 'server.workers': 2, 'presence.grace': '60s', 'presence.batch': '50ms' }, config });
const brief = { options: { 'server.workers': 2, 'presence.grace': '400ms', 'presence.batch': '50ms' }, config };

// --- sessions ---

for (const way of WAYS) {
  claim(`a session is told over ${way}, and is 128 bits of its own`, async (t) => {
    const d = await daemon(t);
    const [a, b] = [await attend(t, d, way, [fresh('room:c')]), await attend(t, d, way, [fresh('room:c')])];
    assert.match(a.session, SESSION);
    assert.notEqual(a.session, b.session);
  });

  claim(`an unknown or malformed session gets a new one over ${way}`, async (t) => {
    const d = await daemon(t);
    const { session } = await attend(t, d, way, [fresh('room:c')]);
    for (const bad of ['0'.repeat(32), '', 'x', `${session}0`, session.slice(1), session.slice(0, 16), session.replace(/^./, 'G'), '\u{1f600}']) {
      const p = await attend(t, d, way, [fresh('room:c')], { session: bad });
      assert.match(p.session, SESSION);
      assert.notEqual(p.session, bad);
    }
  });
}

for (const from of WAYS) {
  for (const to of WAYS) {
    claim(`from ${from} to ${to} the session stays, and nobody leaves or joins`, async (t) => {
      const d = await daemon(t);
      const ch = fresh('room:c');
      const w = await (await watch(t, d, ch)).arrived();
      const a = await attend(t, d, from, [ch], { info: { n: 1 } });
      assert.deepEqual(await names(w, 'join', 1), [a.name]);
      const before = (await members(d, ch)).members.find((m) => m.session === a.name);
      a.leave();
      await until(async () => (await members(d, ch)).members.find((m) => m.session === a.name).connections === 0, 5000, 'the end of the first connection');
      const b = await attend(t, d, to, [ch], { session: a.session });
      assert.equal(b.session, a.session);
      const after = (await members(d, ch)).members.find((m) => m.session === a.name);
      assert.equal(after.transport, to);
      assert.equal(after.since_ts, before.since_ts);
      assert.deepEqual(after.info, { n: 1 });
      // Somebody else who comes is the next that is told.
      const c = await attend(t, d, 'sse', [ch]);
      assert.deepEqual((await w.event('join')).members.map((m) => m.session), [c.name]);
      assert.equal((await members(d, ch)).count, 3);
    });
  }
}

claim('a WebSocket that subscribes by a frame keeps its session, too', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const w = await t.ws(d, '/v1/ws');
  const { session } = (await w.hello()).json;
  assert.equal((await w.command({ type: 'subscribe', channel: ch, info: { a: [1] } })).type, 'ok');
  assert.deepEqual((await members(d, ch)).members.map((m) => [m.session, m.info]), [[nameOf(session), { a: [1] }]]);
  w.close();
  const s = await attend(t, d, 'sse', [ch], { session });
  assert.equal(s.session, session);
});

for (const way of WAYS) {
  claim(`a session of ${way} without presence is known again over every transport`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    const { session } = await attend(t, d, way, [ch]);
    for (const to of WAYS) assert.equal((await attend(t, d, to, [ch], { session })).session, session, to);
  });

  claim(`an id that was never given, a changed one and one of another daemon get a new one over ${way}`, async (t) => {
    const d = await daemon(t);
    const other = await t.daemon({ config });
    const ch = fresh('room:c');
    const { session, name } = await attend(t, d, 'shortpoll', [ch]);
    const stranger = await attend(t, other, way, [ch]);
    const foreign = [stranger.session, name + stranger.session.slice(16), stranger.name + session.slice(16), 'f'.repeat(32)];
    for (let i = 0; i < 32; i++) foreign.push(session.slice(0, i) + (parseInt(session[i], 16) ^ 1).toString(16) + session.slice(i + 1));
    for (let i = 0; i < 20; i++) foreign.push(randomBytes(16).toString('hex'));
    for (const id of foreign) {
      const p = await attend(t, d, way, [ch], { session: id });
      assert.match(p.session, SESSION);
      assert.notEqual(p.name, nameOf(id), id);
      assert.notEqual(p.name, name, id);
      p.leave();
    }
    assert.equal((await attend(t, d, way, [ch], { session })).session, session);
  });
}

// The leave of another poll, which came later, tells that the grace is over.
for (const way of ['longpoll', 'shortpoll']) {
  claim(`a session of ${way} is known again after more than the grace, as the name it was`, async (t) => {
    const d = await t.daemon(brief);
    const ch = fresh('room:c');
    const w = await (await watch(t, d, ch)).arrived();
    const absent = await attend(t, d, way, ['x']);
    const a = await attend(t, d, way, [ch]);
    assert.deepEqual(await names(w, 'join', 1), [a.name]);
    assert.deepEqual(await names(w, 'leave', 1), [a.name]);
    assert.equal((await attend(t, d, way, ['x'], { session: absent.session })).session, absent.session);
    assert.equal((await attend(t, d, way, [ch], { session: a.session })).session, a.session);
    assert.deepEqual(await names(w, 'join', 1), [a.name]);
  });
}

claim('thousands of others do not make a session unknown', async (t) => {
  const d = await t.daemon(brief);
  const { session } = await attend(t, d, 'shortpoll', ['x']);
  const given = new Set([session]);
  for (let i = 0; i < 3000; i += 50) for (const p of await Promise.all(Array.from({ length: 50 }, () => attend(t, d, 'shortpoll', ['x'])))) given.add(p.session);
  assert.equal(given.size, 3001);
  assert.equal(new Set([...given].map(nameOf)).size, 3001);
  for (const id of [session, ...[...given].slice(-20)]) assert.equal((await attend(t, d, 'shortpoll', ['x'], { session: id })).session, id);
});

claim('a reply that caches may share names no session', async (t) => {
  const d = await daemon(t);
  const shareable = await d.get(`/v1/poll?channel=${fresh('open:c')}`);
  assert.equal(shareable.headers['cache-control'], 'public, max-age=1');
  assert.equal(shareable.json.session, undefined);
  for (const q of [`channel=${fresh('openroom:c')}`, `channel=${fresh('open:c')}&session=`]) {
    const own = await d.get(`/v1/poll?${q}`);
    assert.match(own.headers['cache-control'], /private/);
    assert.match(own.json.session, SESSION);
  }
});

claim('entries are bounded; who has one may come back', async (t) => {
  const d = await t.daemon({ options: { 'presence.entries': 2, 'presence.grace': '60s' }, config });
  const ch = fresh('room:c');
  const a = await attend(t, d, 'shortpoll', [ch]);
  await attend(t, d, 'sse', [ch]);
  for (const path of ['/v1/poll', '/v1/sse']) refused(await d.get(`${path}?channel=${ch}`), 503, 'overloaded');
  refused(await d.get(`/v1/poll?channel=${ch}&channel=${ch}2&session=${a.session}`), 503, 'overloaded');
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  assert.equal((await w.command({ type: 'subscribe', channel: ch })).code, 'overloaded');
  assert.equal((await w.command({ type: 'subscribe', channel: 'x' })).type, 'ok');
  assert.equal(await d.metric('holdfast_presence_refused_total'), 4);
  assert.equal((await members(d, ch)).count, 2);
  assert.equal((await attend(t, d, 'shortpoll', [ch], { session: a.session })).session, a.session);
});

// --- who is there ---

claim('a member shows name, user, info, transport, time and connections', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const a = await attend(t, d, 'websocket', [ch], { info: { name: 'Ä', list: [1, null] } });
  const now = Date.now();
  const { channel, count, more, members: [m], ...rest } = await members(d, ch);
  assert.deepEqual([channel, count, more, rest], [ch, 1, false, {}]);
  assert.deepEqual(Object.keys(m), ['session', 'user', 'info', 'transport', 'since_ts', 'connections']);
  assert.deepEqual({ ...m, since_ts: 0 }, { session: a.name, user: null, info: { name: 'Ä', list: [1, null] }, transport: 'websocket', since_ts: 0, connections: 1 });
  assert.ok(Math.abs(m.since_ts - now) < 10000);
  assert.ok(!JSON.stringify(m).includes(a.session), 'the id is nobody else\'s business');
});

claim('several connections of one session count once, and leave when the last is gone', async (t) => {
  const d = await t.daemon(brief);
  const ch = fresh('room:c');
  const w = await (await watch(t, d, ch)).arrived();
  const a = await attend(t, d, 'sse', [ch]);
  assert.deepEqual(await names(w, 'join', 1), [a.name]);
  const tabs = [a];
  for (const way of ['websocket', 'sse', 'websocket']) tabs.push(await attend(t, d, way, [ch], { session: a.session }));
  const now = (await members(d, ch));
  assert.equal(now.count, 2);
  assert.equal(now.members.find((m) => m.session === a.name).connections, 4);
  for (const p of tabs.splice(0, 3)) p.leave();
  await until(async () => (await members(d, ch)).members.find((m) => m.session === a.name).connections === 1, 5000, 'one connection');
  tabs[0].leave();
  assert.deepEqual(await names(w, 'leave', 1), [a.name]);
  assert.equal((await members(d, ch)).count, 1);
});

claim('who comes back within the grace has not left; who does not has, after it', async (t) => {
  const d = await t.daemon(brief);
  const ch = fresh('room:c');
  const w = await (await watch(t, d, ch)).arrived();
  let a = await attend(t, d, 'sse', [ch]);
  const { name, session } = a;
  assert.deepEqual(await names(w, 'join', 1), [name]);
  for (let i = 0; i < 5; i++) {
    a.leave();
    a = await attend(t, d, i % 2 ? 'sse' : 'websocket', [ch], { session });
    assert.equal(a.session, session);
  }
  const began = Date.now();
  a.leave();
  const leave = await w.event('leave');
  assert.deepEqual(leave, { type: 'leave', channel: ch, members: [{ session: name, user: null }] });
  assert.ok(Date.now() - began >= 400, `left after ${Date.now() - began} ms`);
  assert.equal((await members(d, ch)).count, 1);
  a = await attend(t, d, 'sse', [ch], { session });
  assert.equal(a.session, session);
  assert.deepEqual(await names(w, 'join', 1), [name]);
});

claim('pollers are present between their polls, and leave the grace after the last', async (t) => {
  const d = await t.daemon(brief);
  const ch = fresh('room:c');
  const w = await (await watch(t, d, ch)).arrived();
  const a = await attend(t, d, 'shortpoll', [ch]);
  assert.deepEqual(await names(w, 'join', 1), [a.name]);
  for (let i = 0; i < 20; i++) {
    const m = (await members(d, ch)).members.find((x) => x.session === a.name);
    assert.equal(m.connections, 0);
    await attend(t, d, i % 2 ? 'longpoll' : 'shortpoll', [ch], { session: a.session });
  }
  assert.deepEqual(await names(w, 'leave', 1), [a.name]);
  const m = await d.metrics();
  assert.equal(m.get('holdfast_presence_joined_total'), 2);
  assert.equal(m.get('holdfast_presence_left_total'), 1);
});

claim('who unsubscribes leaves at once', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const w = await (await watch(t, d, ch)).arrived();
  const c = await t.ws(d, `/v1/ws?channel=${ch}`);
  const name = nameOf((await c.hello()).json.session);
  assert.deepEqual(await names(w, 'join', 1), [name]);
  await c.command({ type: 'unsubscribe', channel: ch });
  assert.equal((await members(d, ch)).count, 1);
  assert.deepEqual(await names(w, 'leave', 1), [name]);
});

claim('who is kicked leaves at once', async (t) => {
  const d = await daemon(t);
  const [ch, other] = [fresh('room:c'), fresh('room:c')];
  const w = await (await watch(t, d, other)).arrived();
  const gone = [];
  for (const way of ['websocket', 'sse']) gone.push((await attend(t, d, way, [ch, other])).name);
  assert.deepEqual(await names(w, 'join', 2), [...gone].sort());
  assert.equal((await d.admin(`/v1/admin/kick?channel=${ch}`, 'POST')).json.kicked, 2);
  assert.deepEqual(await names(w, 'leave', 2), [...gone].sort());
  assert.equal((await members(d, ch)).count, 0);
});

claim('info of the newest subscription holds; when it changed it is told as a join', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const w = await (await watch(t, d, ch)).arrived();
  const a = await attend(t, d, 'sse', [ch], { info: 1 });
  assert.deepEqual((await w.event('join')).members.map((m) => m.info), [1]);
  await attend(t, d, 'sse', [ch], { session: a.session, info: 2 });
  assert.deepEqual((await w.event('join')).members.map((m) => [m.session, m.info]), [[a.name, 2]]);
  assert.equal((await members(d, ch)).count, 2);
});

claim('bad info is refused by name', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const get = (info, path = '/v1/poll') => d.get(`${path}?channel=${ch}&info=${encodeURIComponent(info)}`);
  for (const path of ['/v1/poll', '/v1/sse']) {
    refused(await get('{', path), 400, 'bad_json');
    refused(await get('', path), 400, 'bad_json');
    refused(await get(`"${'x'.repeat(1023)}"`, path), 413, 'too_large');
  }
  assert.equal((await get(`"${'x'.repeat(1022)}"`)).status, 200);
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  assert.equal((await w.command({ type: 'subscribe', channel: ch, info: 'x'.repeat(1023) })).code, 'too_large');
  assert.equal((await w.command({ type: 'subscribe', channel: ch, presence: 1 })).code, 'bad_parameter');
  refused(await d.get(`/v1/sse?channel=${ch}&presence=maybe`), 400, 'bad_parameter');
});

claim('info with line ends is told on one line', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const w = await (await watch(t, d, ch)).arrived();
  await d.get(`/v1/poll?channel=${ch}&info=${encodeURIComponent('{\r\n "a":\n 1}')}`);
  assert.deepEqual((await w.event('join')).members[0].info, { a: 1 });
});

// --- lists and queries ---

for (const way of ['sse', 'longpoll', 'shortpoll', 'websocket']) {
  claim(`presence=1 tells the members over ${way}`, async (t) => {
    const d = await daemon(t);
    const ch = fresh('room:c');
    const a = await attend(t, d, 'sse', [ch]);
    const b = await attend(t, d, way, [ch], { presence: 1, ...(way === 'longpoll' && { wait: 20 }) });
    let list;
    if (b.reply) [list] = b.reply.events;
    else list = (await b.client.expect('presence')).json;
    assert.deepEqual([list.type, list.channel, list.count, list.more], ['presence', ch, 2, false]);
    assert.deepEqual(list.members.map((m) => m.session).sort(), [a.name, b.name].sort());
  });
}

claim('presence: true in a subscribe frame tells the members after ok and the backlog', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh('room:c'), fresh('room:c')];
  const { id } = await d.publish(a, 'x');
  const w = await t.ws(d, '/v1/ws');
  const name = nameOf((await w.hello()).json.session);
  w.send({ type: 'subscribe', channels: [a, b], since: '0', presence: true, ref: 1 });
  assert.equal((await w.expect('ok')).json.ref, 1);
  assert.equal((await w.message()).json.id, id);
  for (const ch of [a, b]) {
    const { json } = await w.expect('presence');
    assert.deepEqual([json.channel, json.members.map((m) => m.session)], [ch, [name]]);
  }
});

claim('a waiting poll is answered by those who come and go', async (t) => {
  // one worker: another one may hear of the watcher only after the poll has come, and answer it with that
  const d = await t.daemon({ options: { 'server.workers': 1 }, config });
  const ch = fresh('room:c');
  const first = await attend(t, d, 'shortpoll', [ch]);
  const w = await watch(t, d, ch);
  await names(w, 'join', 1);
  const waiting = d.get(`/v1/poll?${query([ch], { session: first.session, wait: 20 })}`);
  await until(async () => (await members(d, ch)).members.find((m) => m.session === first.name).connections === 1, 5000, 'the poll to wait');
  const a = await attend(t, d, 'sse', [ch]);
  const reply = (await waiting).json;
  assert.deepEqual(reply.messages, []);
  const told = reply.events.flatMap((e) => (e.type === 'join' ? e.members.map((m) => m.session) : []));
  assert.ok(told.includes(a.name), JSON.stringify(reply.events));
});

claim('those who come together are told together', async (t) => {
  const d = await t.daemon({ options: { 'server.workers': 2, 'presence.batch': '1s' }, config });
  const ch = fresh('room:c');
  const w = await watch(t, d, ch);
  const came = await Promise.all(Array.from({ length: 30 }, (_, i) => attend(t, d, WAYS[i % 4], [ch])));
  const e = await w.event('join');
  assert.deepEqual(e.members.map((m) => m.session).sort(), [w.name, ...came.map((p) => p.name)].sort());
  assert.equal(await d.metric('holdfast_presence_events_total'), 1);
});

claim('every worker\'s subscribers are told, over every stream, raw event streams too; raw WebSockets are not', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const raw = await t.rawWs(d, `/v1/ws?channel=${ch}&format=raw`);
  const streams = [];
  for (let i = 0; i < 8; i++) streams.push(await watch(t, d, ch, i % 2 ? { format: 'raw' } : {}));
  const sockets = [];
  for (let i = 0; i < 8; i++) sockets.push((await attend(t, d, 'websocket', [ch])).client);
  const late = await attend(t, d, 'shortpoll', [ch]);
  for (const s of streams) await s.events.find((e) => e.type === 'join' && e.members.some((m) => m.session === late.name));
  for (const c of sockets) {
    for (;;) {
      const { json } = await c.expect('join');
      if (json.members.some((m) => m.session === late.name)) break;
    }
  }
  assert.equal((await members(d, ch)).count, 18);
  await d.publish(ch, 'only this');
  assert.equal((await raw.next()).text, 'only this');
});

claim('a WebSocket may ask, for the list, a page of it, or the number', async (t) => {
  const d = await daemon(t);
  const ch = fresh('room:c');
  const all = [];
  for (let i = 0; i < 5; i++) all.push((await attend(t, d, 'sse', [ch])).name);
  all.sort();
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  const ask = (more) => w.command({ type: 'presence', channel: ch, ...more });
  const whole = await ask({});
  assert.deepEqual([whole.type, whole.channel, whole.count, whole.more], ['ok', ch, 5, false]);
  assert.deepEqual(whole.members.map((m) => m.session), all);
  const page = await ask({ limit: 2, after: all[1] });
  assert.deepEqual([page.members.map((m) => m.session), page.more, page.count], [all.slice(2, 4), true, 5]);
  const { ref, ...number } = await ask({ count: true });
  assert.deepEqual(number, { type: 'ok', channel: ch, count: 5 });
  assert.equal((await ask({ after: 'x' })).code, 'bad_parameter');
  assert.equal((await ask({ count: 1 })).code, 'bad_parameter');
  assert.equal((await ask({ limit: -1 })).code, 'bad_parameter');
  assert.equal((await w.command({ type: 'presence' })).code, 'no_channel');
  assert.equal((await w.command({ type: 'presence', channel: 'plain' })).code, 'not_supported');
  assert.equal((await w.command({ type: 'presence', channel: 'closed:x' })).code, 'forbidden');
});

claim('1,000 members are listed in pages, each once, and told of', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ options: { 'server.workers': 2, 'presence.grace': '60s', 'presence.members': 150 }, config });
  const ch = fresh('room:c');
  const w = await (await watch(t, d, ch)).arrived();
  const all = [w.name];
  for (let i = 0; i < 100; i++) all.push(...(await Promise.all(Array.from({ length: 10 }, () => attend(t, d, 'shortpoll', [ch], { info: { i } })))).map((p) => p.name));
  const seen = [];
  for (let after = ''; ;) {
    const page = await members(d, ch, `&limit=9999${after}`);
    assert.equal(page.count, 1001);
    assert.ok(page.members.length <= 150);
    seen.push(...page.members.map((m) => m.session));
    if (!page.more) break;
    after = `&after=${seen.at(-1)}`;
  }
  assert.deepEqual(seen, [...all].sort());
  assert.deepEqual(await names(w, 'join', 1000), all.slice(1).sort());
  const { json } = await (await attend(t, d, 'websocket', [ch], { presence: 1 })).client.expect('presence');
  assert.deepEqual([json.count, json.members.length, json.more], [1002, 150, true]);
});

claim('queries are checked', async (t) => {
  const d = await daemon(t);
  refused(await d.get('/v1/presence'), 400, 'no_channel');
  refused(await d.get('/v1/presence?channel=room:a&channel=room:b'), 400, 'bad_parameter');
  refused(await d.get('/v1/presence?channel=a%20b'), 400, 'bad_channel');
  refused(await d.get('/v1/presence?channel=room:a&limit=x'), 400, 'bad_parameter');
  refused(await d.get('/v1/presence?channel=room:a&after=x'), 400, 'bad_parameter');
  refused(await d.get('/v1/presence?channel=room:a&count=2'), 400, 'bad_parameter');
  refused(await d.get('/v1/presence?channel=closed:a'), 403, 'forbidden');
  refused(await d.post('/v1/presence?channel=room:a'), 405, 'method_not_allowed');
  assert.equal((await d.admin('/v1/presence?channel=closed:a')).json.count, 0);
  assert.deepEqual(await members(d, 'room:nobody'), { channel: 'room:nobody', count: 0, members: [], more: false });
});

claim('where presence is not kept it is refused by name', async (t) => {
  const d = await daemon(t);
  refused(await d.get('/v1/presence?channel=plain'), 400, 'not_supported');
  refused(await d.get('/v1/presence?channel=plain&count=1'), 400, 'not_supported');
  for (const path of ['/v1/sse', '/v1/poll']) refused(await d.get(`${path}?channel=room:a&channel=plain&presence=1`), 400, 'not_supported');
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  assert.equal((await w.command({ type: 'subscribe', channels: ['room:a', 'plain'], presence: true })).code, 'not_supported');
  assert.equal((await w.command({ type: 'unsubscribe', channel: 'room:a' })).code, 'not_subscribed');
  assert.equal((await w.command({ type: 'subscribe', channels: ['room:a', 'plain'], info: 1 })).type, 'ok');
});

claim('presence_events = no: the list is there, nobody is told', async (t) => {
  const d = await daemon(t);
  const ch = fresh('quiet:c');
  const w = await watch(t, d, ch);
  const before = await d.metric('holdfast_presence_left_total');
  const c = await t.ws(d, `/v1/ws?channel=${ch}`);
  await c.hello();
  assert.equal((await members(d, ch)).count, 2);
  await c.command({ type: 'unsubscribe', channel: ch });
  assert.equal((await members(d, ch)).count, 1);
  assert.equal(await d.metric('holdfast_presence_left_total'), before + 1);
  // Events travel in one order with messages: whatever was told stands before this one.
  const loud = fresh('room:c');
  await (await watch(t, d, loud)).arrived();
  await d.publish(ch, 'end');
  await w.messages.next();
  assert.equal(w.events.items.length, 0);
});

// --- slow, restart, churn ---

claim('who was too slow to be told is given the list anew', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ options: { 'server.workers': 1, 'presence.batch': '50ms', 'limits.out_queue_bytes': '64KiB', 'limits.replay_window_bytes': '32KiB', 'http.write_timeout': '60s' }, config });
  const ch = fresh('room:c');
  const s = await t.sse(d, `/v1/sse?channel=${ch}&presence=1`);
  await s.hello();
  assert.equal((await s.expect('presence')).json.count, 1);
  await s.expect('join');
  s.pause();
  const text = 'x'.repeat(60000);
  while (await d.metric('holdfast_slow_consumers_total{policy="lag"}') === 0) await d.publish(ch, text);
  const skipped = await d.metric('holdfast_ephemeral_skipped_total');
  const late = await attend(t, d, 'shortpoll', [ch]);
  await d.untilMetric('holdfast_ephemeral_skipped_total', (n) => n > skipped);
  s.resume();
  for (;;) {
    const e = await s.next(10000);
    if (e.event !== 'presence') continue;
    assert.ok(JSON.parse(e.data).members.some((m) => m.session === late.name));
    break;
  }
});

claim('after a restart, kill -9 too, presence is rebuilt by those who come back', async (t) => {
  const d = await t.daemon(brief);
  const ch = fresh('room:c');
  let { session } = await attend(t, d, 'sse', [ch], { info: 'me' });
  for (const kill of [true, false]) {
    await d.restart({ kill });
    assert.deepEqual(await members(d, ch), { channel: ch, count: 0, members: [], more: false });
    const p = await attend(t, d, 'websocket', [ch], { session, info: 'me' });
    assert.notEqual(p.session, session);
    assert.deepEqual((await members(d, ch)).members.map((m) => [m.session, m.info]), [[p.name, 'me']]);
    session = p.session;
  }
});

claim('10,000 sessions that come and go leave nothing behind', { ms: 120000 }, async (t) => {
  const d = await t.daemon({ options: { 'server.workers': 2, 'presence.grace': '50ms', 'presence.batch': '50ms' }, config });
  const w = await (await watch(t, d, 'room:flow')).arrived();
  const churn = async (n) => {
    for (let i = 0; i < n; i += 50) await Promise.all(Array.from({ length: 50 }, (_, k) => attend(t, d, 'shortpoll', ['room:flow', `room:${i + k}`], { info: 'x'.repeat(500) })));
    await d.untilMetric('holdfast_presence_entries', (v) => v === 1, 20000);
  };
  await churn(2000);
  const before = d.rss();
  await churn(10000);
  assert.ok(d.rss() - before < 8 << 20, `grew by ${(d.rss() - before) >> 10} KiB`);
  assert.equal(await d.metric('holdfast_presence_joined_total'), await d.metric('holdfast_presence_left_total') + 1);
  assert.equal((await members(d, 'room:flow')).count, 1);
  w.client.close();
});

daemon.ends();
