// SPDX-License-Identifier: MIT
// The network, proxies and the broker itself fail; the subscription does not.

import { claim, assert, fresh } from '../wire/lib/claim.js';
import { AbortError, ConnectionError, RefusedError, client, datas, event, listen, numbers } from './lib/client.js';
import { Meddler, refuse } from './lib/meddler.js';
import { scale, until } from '../wire/lib/wait.js';

const ALL = ['websocket', 'sse', 'longpoll', 'shortpoll'];
const path = (req) => req.url.split('?')[0];

claim('a WebSocket that is refused falls back to an event stream, and is remembered', async (t) => {
  const d = await t.daemon();
  const kept = new Map();
  globalThis.localStorage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v) };
  t.cleanup(() => { delete globalThis.localStorage; });
  const m = await Meddler.open(t, d, { upgrade: () => 'refuse' });
  const c = client(t, m);
  const got = listen(c, 'a');
  const first = await event(c, 'transport');
  assert.deepEqual([first.transport, first.reason], ['sse', 'fallback']);
  await d.publish('a', 'x');
  await got.take(1);
  await c.close();
  const before = m.count('/v1/ws');
  const again = client(t, m);
  listen(again, 'a');
  assert.equal((await event(again, 'transport')).transport, 'sse');
  assert.equal(m.count('/v1/ws'), before, 'it asked for a WebSocket though it knew better');
});

claim('a WebSocket that hangs is given up in time', async (t) => {
  const m = await Meddler.open(t, await t.daemon(), { upgrade: () => 'hang' });
  const c = client(t, m, { healthTimeout: 300 * scale });
  listen(c, 'a');
  assert.equal((await event(c, 'transport')).transport, 'sse');
});

claim('a WebSocket that opens and then swallows what comes is not trusted', async (t) => {
  const m = await Meddler.open(t, await t.daemon(), { frame: (text) => (/"hello"/.test(text) ? text : null) });
  const c = client(t, m, { healthTimeout: 1000 * scale });
  listen(c, 'a');
  assert.equal((await event(c, 'transport')).transport, 'sse');
});

claim('a proxy that buffers event streams is recognised within 3 s, and polls go on', async (t) => {
  const d = await t.daemon();
  const m = await Meddler.open(t, d, { upgrade: () => 'refuse', buffers: () => true });
  const c = client(t, m);
  const got = listen(c, 'a');
  const at = await event(c, 'transport');
  assert.equal(at.transport, 'longpoll');
  assert.ok(at.ms < 4000 * scale, `${at.ms} ms`);
  await d.publish('a', 'x');
  assert.deepEqual(datas(await got.take(1)), ['x']);
});

claim('a proxy that lets the first event through and holds the next is recognised, too', async (t) => {
  const m = await Meddler.open(t, await t.daemon(), { upgrade: () => 'refuse', event: (req, text) => (/heartbeat/.test(text) ? null : text) });
  const c = client(t, m, { healthTimeout: 400 * scale });
  listen(c, 'a');
  assert.equal((await event(c, 'transport')).transport, 'longpoll');
});

claim('long polls that are cut get shorter; where none comes through it is short polling', async (t) => {
  const d = await t.daemon();
  const m = await Meddler.open(t, d, {
    upgrade: () => 'refuse',
    request: (req, res) => (path(req) === '/v1/sse' || /wait=/.test(req.url)) && refuse(res, 502, 'bad_gateway'),
  });
  const c = client(t, m, { healthTimeout: 300 * scale, upgradeAfter: 60000 });
  const got = listen(c, 'a');
  await event(c, 'transport', (e) => e.transport === 'shortpoll', 15000);
  await d.publish('a', 'x');
  assert.deepEqual(datas(await got.take(1)), ['x']);
});

claim('a better transport is tried in the background and takes over without loss or repeat', async (t) => {
  const d = await t.daemon();
  const rules = { upgrade: () => 'refuse' };
  const m = await Meddler.open(t, d, rules);
  const c = client(t, m, { upgradeAfter: 100 });
  const got = listen(c, 'a');
  await event(c, 'transport', (e) => e.transport === 'sse');
  let sent = 0;
  let stop = false;
  const publishing = (async () => { while (!stop) await d.publish('a', `${sent++}`); })();
  await got.take(20);
  delete rules.upgrade;
  const e = await event(c, 'transport', (x) => x.transport === 'websocket');
  assert.deepEqual([e.previous, e.reason], ['sse', 'upgrade']);
  await got.take(20);
  stop = true;
  await publishing;
  assert.deepEqual(datas(await got.take(sent - 40)), numbers(sent - 40, 40).map(String));
  assert.equal(c.seen.gap.length, 0);
});

claim('ephemeral messages come once while one link takes over from another', async (t) => {
  const d = await t.daemon();
  const rules = { upgrade: () => 'refuse' };
  const m = await Meddler.open(t, d, rules);
  const c = client(t, m, { upgradeAfter: 50 });
  const got = listen(c, 'a');
  await event(c, 'transport', (e) => e.transport === 'sse');
  let sent = 0;
  let stop = false;
  const publishing = (async () => { while (!stop) await d.publish('a', `${sent++}`, { query: '&ephemeral=1' }); })();
  await got.take(5);
  delete rules.upgrade;
  await event(c, 'transport', (x) => x.transport === 'websocket');
  await got.take(50);
  stop = true;
  await publishing;
  const rest = await got.take(sent - 55);
  const came = datas(rest).map(Number);
  assert.deepEqual([...came].sort((a, b) => a - b), numbers(sent - 55, 55));
  // two connections for a moment: the last that one brings may come behind the first of the other; each keeps its order
  let [front, late] = [-1, -1];
  for (const n of came) {
    if (n > front) front = n;
    else {
      assert.ok(n > late, `${came}`);
      late = n;
    }
  }
});

for (const transport of ALL) {
  claim(`${transport}: kill -9 and a restart of the broker in mid-stream lose and repeat nothing, publishes wait in the outbox`, { ms: 60000 }, async (t) => {
    const d = await t.daemon();
    const c = client(t, d, { transports: [transport] });
    const [a, b] = [listen(c, 'a'), listen(c, 'b')];
    await Promise.all([a.sub.ready, b.sub.ready]);
    await event(c, 'transport');
    const receipts = [];
    for (const i of numbers(20)) receipts.push(c.publish(i % 2 ? 'a' : 'b', i));
    await Promise.all(receipts);
    await d.kill9();
    for (const i of numbers(20, 20)) receipts.push(c.publish(i % 2 ? 'a' : 'b', i));
    await event(c, 'error', (e) => e instanceof ConnectionError);
    assert.equal(c.pending, 20);
    await d.launch();
    const ids = (await Promise.all(receipts)).map((r) => r.id);
    assert.equal(new Set(ids).size, 40);
    assert.deepEqual(datas(await a.take(20, 20000)), numbers(20).map((i) => i * 2 + 1));
    assert.deepEqual(datas(await b.take(20, 20000)), numbers(20).map((i) => i * 2));
    assert.deepEqual([c.pending, c.seen.gap.length], [0, 0]);
    assert.deepEqual(datas(await c.history('a')), numbers(20).map((i) => i * 2 + 1));
  });

  claim(`${transport}: connections that are cut again and again lose and repeat nothing`, { ms: 60000 }, async (t) => {
    const d = await t.daemon();
    const m = await Meddler.open(t, d);
    const c = client(t, m, { transports: [transport] });
    const got = listen(c, 'a', { since: 0 });
    await event(c, 'transport');
    const seen = [];
    for (const i of numbers(60)) {
      await d.publish('a', `${i}`);
      if (i % 10 === 4) m.cut();
      if (i % 10 === 9) seen.push(...await got.take(10, 20000));
    }
    assert.deepEqual(datas(seen), numbers(60).map(String));
    assert.equal(c.seen.gap.length, 0);
  });
}

claim('goodbye: it comes back after the delay that the broker asks for', async (t) => {
  const d = await t.daemon({ options: { 'server.drain_grace': '2s', 'server.drain_spread': '300ms', 'http.linger': '100ms' } });
  const c = client(t, d);
  const got = listen(c, 'a');
  await event(c, 'state', (s) => s.state === 'connected');
  d.signal('SIGTERM');
  const wait = await event(c, 'state', (s) => s.state === 'waiting');
  assert.equal(wait.reason, 'drain');
  assert.ok(wait.retryIn <= 300, `${wait.retryIn}`);
  assert.equal((await d.awaitExit()).code, 0);
  await d.launch();
  await d.publish('a', 'x');
  await event(c, 'state', (s) => s.state === 'connected');
  assert.deepEqual(datas(await got.take(1)), ['x']);
});

claim('kicked by an operator it does not come back, and says so', async (t) => {
  const d = await t.daemon();
  const c = client(t, d);
  const got = listen(c, 'a');
  await event(c, 'transport');
  await d.admin('/v1/admin/kick?channel=a', 'POST');
  const err = await got.errors.next();
  assert.ok(err instanceof RefusedError);
  assert.equal(err.code, 'kicked');
  await until(() => c.state === 'idle', 5000, 'the end of trying');
});

claim('what retention took away is a gap, told once, and what is left follows', async (t) => {
  const d = await t.daemon({ config: { namespace: { history_count: 5 } } });
  for (const transports of [['websocket'], ['sse'], ['longpoll'], ['shortpoll']]) {
    const ch = fresh();
    const m = await Meddler.open(t, d);
    const c = client(t, m, { transports });
    const got = listen(c, ch);
    await event(c, 'transport');
    await d.publish(ch, '0');
    await got.take(1);
    m.rules.request = (req, res) => res.destroy() || true;
    m.rules.upgrade = () => 'refuse';
    m.cut();
    const ids = [];
    for (const i of numbers(20, 1)) ids.push((await d.publish(ch, `${i}`)).id);
    await until(async () => (await d.get(`/v1/history?channel=${ch}`)).json.messages.length <= 5, 10000, 'trimming');
    delete m.rules.request;
    delete m.rules.upgrade;
    const gap = await got.gaps.next(15000);
    assert.deepEqual([gap.reason, gap.channel, gap.to], ['retention', ch, ids[14]]);
    assert.deepEqual(datas(await got.take(5)), ['16', '17', '18', '19', '20']);
    assert.equal(c.seen.gap.length, 1);
    await c.close();
  }
});

claim('a log that is another one is a gap, and its messages follow', async (t) => {
  const d = await t.daemon({ config: { namespace: { durability: 'memory' } } });
  const c = client(t, d);
  const got = listen(c, 'a');
  await event(c, 'transport');
  for (const i of numbers(5)) await d.publish('a', `${i}`);
  await got.take(5);
  await d.stop();
  d.dataDir = `${d.dir}/other`;
  await d.launch();
  await d.publish('a', 'new');
  const gap = await got.gaps.next(15000);
  assert.equal(gap.reason, 'epoch');
  assert.deepEqual(datas(await got.take(1)), ['new']);
  assert.equal(c.seen.gap.length, 1);
});

const swallow = {
  websocket: (m, text) => { m.rules.frame = (f) => (f.includes(text) ? null : f); },
  sse: (m, text) => { m.rules.event = (req, e) => (e.includes(text) ? null : e); },
};

for (const [transport, rule] of Object.entries(swallow)) {
  claim(`${transport}: a message that was swallowed on the way is missed by its prev, and fetched`, async (t) => {
    const d = await t.daemon();
    const m = await Meddler.open(t, d);
    const c = client(t, m, { transports: [transport] });
    const got = listen(c, 'a');
    const other = listen(c, 'b');
    await event(c, 'transport');
    rule(m, 'swallowed');
    await d.publish('a', '0');
    await d.publish('a', 'swallowed 1');
    await d.publish('b', 'b');
    await d.publish('a', 'swallowed 2');
    for (const i of numbers(3)) await d.publish('a', `${i + 1}`);
    assert.deepEqual(datas(await got.take(6)), ['0', 'swallowed 1', 'swallowed 2', '1', '2', '3']);
    assert.deepEqual(datas(await other.take(1)), ['b']);
    assert.equal(c.seen.gap.length, 0);
  });
}

claim('a message of a pattern that was swallowed is missed by the chain of its channel, and fetched', async (t) => {
  const d = await t.daemon();
  const m = await Meddler.open(t, d);
  const c = client(t, m, { transports: ['websocket'] });
  const got = listen(c, 'room:*');
  await event(c, 'transport');
  m.rules.frame = (f) => (f.includes('swallowed') ? null : f);
  for (const text of ['x 0', 'y 0', 'x swallowed', 'y 1', 'z 0', 'x 1', 'y 2']) await d.publish(`room:${text[0]}`, text);
  assert.deepEqual(datas(await got.take(7)).sort(), ['x 0', 'x 1', 'x swallowed', 'y 0', 'y 1', 'y 2', 'z 0']);
  await d.publish('room:x', 'end');
  const [end] = await got.take(1);
  assert.equal(end.data, 'end');
  assert.deepEqual([c.seen.gap.length, got.items.length], [0, 0]);
});

claim('more patterns than the broker takes: the last one is refused, the others go on', async (t) => {
  const d = await t.daemon({ options: { 'limits.patterns_per_subscription': 2 } });
  const c = client(t, d);
  const [one, two, three] = ['a:*', 'b:*', 'c:*'].map((p) => listen(c, p));
  assert.equal((await three.errors.next()).code, 'too_many_patterns');
  await event(c, 'transport');
  await d.publish('a:1', 'x');
  await d.publish('b:1', 'y');
  assert.deepEqual(datas([...await one.take(1), ...await two.take(1)]), ['x', 'y']);
});

claim('a hole that can not be mended is a gap', async (t) => {
  const d = await t.daemon();
  const m = await Meddler.open(t, d);
  const c = client(t, m, { transports: ['websocket'] });
  const got = listen(c, 'a');
  await event(c, 'transport');
  const without = (text) => JSON.stringify({ ...JSON.parse(text), messages: JSON.parse(text).messages.filter((w) => w.data !== 'swallowed') });
  m.rules.frame = (f) => (f.includes('swallowed') ? null : f);
  m.rules.reply = (req, text) => (path(req) === '/v1/poll' ? without(text) : text);
  const first = await d.publish('a', '0');
  const lost = await d.publish('a', 'swallowed');
  await d.publish('a', '1');
  await d.publish('a', '2');
  assert.deepEqual(datas(await got.take(3)), ['0', '1', '2']);
  assert.deepEqual(await got.gaps.next(), { channel: 'a', from: first.id, to: lost.id, reason: 'lost' });
});

claim('what comes twice is handed over once', async (t) => {
  const d = await t.daemon();
  const m = await Meddler.open(t, d, { event: (req, e) => (/^id:/m.test(e) ? `${e}\n\n${e}` : e) });
  const c = client(t, m, { transports: ['sse'] });
  const got = listen(c, 'a');
  await event(c, 'transport');
  for (const i of numbers(5)) await d.publish('a', `${i}`);
  assert.deepEqual(datas(await got.take(5)), numbers(5).map(String));
  await d.publish('a', 'end');
  assert.deepEqual(datas(await got.take(1)), ['end']);
});

claim('Retry-After is obeyed', async (t) => {
  const d = await t.daemon();
  let refusals = 0;
  const m = await Meddler.open(t, d, { request: (req, res) => (refusals++ < 3 ? refuse(res, 503, 'overloaded', { 'retry-after': '1' }) : false) });
  const c = client(t, m);
  listen(c, 'a');
  const s = await event(c, 'state', (x) => x.state === 'waiting');
  assert.ok(s.retryIn >= 1000, `${s.retryIn} ms`);
  assert.equal(s.reason, 'overloaded');
  await event(c, 'state', (x) => x.state === 'connected');
});

claim('a channel that is refused fails alone', async (t) => {
  const d = await t.daemon({ config: { 'namespace secret': { subscribe: 'admin' } } });
  const c = client(t, d);
  const [good, bad, worse] = [listen(c, 'a'), listen(c, 'secret:a'), listen(c, 'a b')];
  const err = await bad.errors.next();
  assert.ok(err instanceof RefusedError);
  assert.deepEqual([err.code, err.status, err.retryable], ['forbidden', 403, false]);
  assert.equal((await worse.errors.next()).code, 'bad_channel');
  await assert.rejects(bad.sub.ready, { code: 'forbidden' });
  await good.sub.ready;
  await event(c, 'transport');
  await d.publish('a', 'x');
  await good.take(1);
});

claim('a token function is asked again when the broker says that its token is no longer good', async (t) => {
  const d = await t.daemon();
  let valid = 'first';
  const m = await Meddler.open(t, d, {
    request: (req, res) => req.headers.authorization !== `Bearer ${valid}` && refuse(res, 401, 'token_expired'),
  });
  const given = [];
  const c = client(t, m, { transports: ['longpoll'], token: async () => { given.push(valid); return valid; } });
  const got = listen(c, 'a');
  await event(c, 'transport');
  assert.deepEqual(given, ['first']);
  valid = 'second';
  await c.publish('a', 'x');
  assert.deepEqual(datas(await got.take(1)), ['x']);
  assert.deepEqual(new Set(given), new Set(['first', 'second']));
  const stale = client(t, m, { token: 'first' });
  await assert.rejects(stale.publish('a', 'y'), { name: 'RefusedError', code: 'token_expired', status: 401 });
});

claim('over a WebSocket the token goes in a frame', async (t) => {
  const d = await t.daemon();
  const m = await Meddler.open(t, d);
  const frames = [];
  m.rules.frame = (text) => { frames.push(JSON.parse(text)); return text; };
  const c = client(t, m, { transports: ['websocket'], token: () => 'abc' });
  listen(c, 'a');
  await event(c, 'transport');
  assert.equal(frames[1].code, 'unknown_type'); // this broker has no authentication
});

claim('a broker that is not there: it says so, and connects when it comes', async (t) => {
  const d = await t.daemon();
  await d.stop();
  const c = client(t, d);
  const got = listen(c, 'a');
  const err = await event(c, 'error');
  assert.ok(err instanceof ConnectionError);
  assert.deepEqual([err.code, err.retryable], ['unreachable', true]);
  await d.launch();
  await got.sub.ready;
  await event(c, 'state', (s) => s.state === 'connected');
});

claim('what is no broker is told as such', async (t) => {
  const d = await t.daemon();
  const m = await Meddler.open(t, d, { request: (req, res) => { res.end('<html>Sign in to the guest network</html>'); return true; } });
  const c = client(t, m);
  listen(c, 'a');
  assert.equal((await event(c, 'error')).code, 'bad_answer');
});

claim('signals: of a subscription, a publish, a history, an iteration, and of the client', async (t) => {
  const d = await t.daemon();
  const c = client(t, d);
  const got = listen(c, 'a');
  await event(c, 'transport');
  const gone = AbortSignal.abort();
  await assert.rejects(c.publish('a', 'x', { signal: gone }), AbortError);
  await assert.rejects(c.history('a', { signal: gone }), AbortError);
  await assert.rejects(c.presence('a', { signal: gone }), AbortError);
  await assert.rejects(c.subscribe('a', { signal: gone }).ready, AbortError);

  const ctl = new AbortController();
  const one = listen(c, 'a', { signal: ctl.signal });
  await one.sub.ready;
  const iteration = c.messages('a', { signal: ctl.signal })[Symbol.asyncIterator]();
  const next = iteration.next();
  ctl.abort();
  await assert.rejects(next, AbortError);
  assert.equal((await iteration.next()).done, true);
  await d.publish('a', 'x');
  await got.take(1);
  assert.equal(one.items.length, 0);

  const all = new AbortController();
  const other = client(t, d, { signal: all.signal });
  const sub = other.subscribe('a');
  await sub.ready;
  all.abort();
  assert.equal(other.state, 'closed');
  await assert.rejects(other.publish('a', 'x'), { code: 'closed' });
  assert.throws(() => other.subscribe('a'), { code: 'closed' });
});
