// SPDX-License-Identifier: MIT
// Places in a channel: durable subscribers, cursors that are kept, slow readers.

import { claim, shared, assert, fresh } from '../wire/lib/claim.js';
import { client, datas, event, listen, numbers } from './lib/client.js';
import { Meddler } from './lib/meddler.js';
import { until } from '../wire/lib/wait.js';

const daemon = shared();

for (const transport of ['websocket', 'sse', 'longpoll', 'shortpoll']) {
  claim(`${transport}: a durable subscriber goes on where it acknowledged`, async (t) => {
    const d = await daemon(t);
    const [a, b] = [fresh(), fresh()];
    const subscriber = fresh('worker');
    const one = { transports: [transport] };
    const c = client(t, d, one);
    const [first, other] = [listen(c, a, { subscriber }), listen(c, b, { subscriber })];
    await event(c, 'transport');
    await until(async () => (await d.get(`/v1/acks?subscriber=${subscriber}`)).json.acks.length === 2, 5000, 'positions');
    for (const i of numbers(10)) await d.publish(i % 2 ? a : b, `${i}`);
    const got = await first.take(5);
    assert.deepEqual(datas(got), ['1', '3', '5', '7', '9']);
    assert.deepEqual(datas(await other.take(5)), ['0', '2', '4', '6', '8']);
    await Promise.all([first.sub.ack(got[0]), first.sub.ack(got[2].id), first.sub.ack(got[1])]);
    const kept = (await d.get(`/v1/acks?subscriber=${subscriber}`)).json.acks;
    assert.equal(kept.find((k) => k.channel === a).id, got[2].id);
    await c.close();
    const next = listen(client(t, d, one), a, { subscriber });
    assert.deepEqual(datas(await next.take(2)), ['7', '9']);
  });
}

for (const transport of ['websocket', 'sse']) {
  claim(`${transport}: what a durable subscriber did not acknowledge is not repeated by a reconnect, only by ack_wait`, async (t) => {
    const d = await t.daemon({ options: { 'delivery.ack_wait': '1s' } });
    const m = await Meddler.open(t, d);
    const c = client(t, m, { transports: [transport] });
    const got = listen(c, 'a', { subscriber: 'w' });
    await event(c, 'transport');
    await until(async () => (await d.get('/v1/acks?subscriber=w')).json.acks.length === 1, 5000, 'its position');
    await d.publish('a', '0');
    const [first] = await got.take(1);
    assert.equal(first.redelivered, undefined);
    m.cut();
    await event(c, 'state', (s) => s.state === 'connected');
    await d.publish('a', '1');
    const more = await got.take(2);
    assert.equal(more.find((x) => x.data === '1').redelivered, undefined);
    const again = more.find((x) => x.data === '0') ?? (await got.take(1))[0];
    assert.deepEqual([again.data, again.redelivered], ['0', 1]);
  });
}

claim('acknowledging needs a durable subscription and an id', async (t) => {
  const d = await daemon(t);
  const c = client(t, d);
  await assert.rejects(c.subscribe(fresh()).ack('x.1'), { code: 'not_durable' });
  const sub = c.subscribe(fresh(), { subscriber: 'w2' });
  await assert.rejects(sub.ack({ data: 1 }), { code: 'no_id' });
  await sub.ready;
  await assert.rejects(sub.ack('nonsense'), { code: 'bad_parameter' });
  sub.close();
  await assert.rejects(sub.ack('x.1'), { code: 'closed' });
});

claim('a cursor is kept across page loads, and an older page does not turn it back', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const kept = new Map();
  globalThis.sessionStorage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v) };
  t.cleanup(() => { delete globalThis.sessionStorage; });
  for (const i of numbers(3)) await d.publish(ch, `${i}`);
  const page = client(t, d);
  const got = listen(page, ch, { since: 0, persist: true });
  await got.take(3);
  await page.close();
  const missed = await d.publish(ch, '3');
  const reloaded = client(t, d);
  const more = listen(reloaded, ch, { since: 0, persist: true });
  assert.deepEqual(datas(await more.take(1)), ['3']);
  await reloaded.close();
  await d.publish(ch, '4');
  const rendered = listen(client(t, d), ch, { since: missed.prev ?? missed.id, persist: true });
  assert.deepEqual(datas(await rendered.take(1)), ['4']);
  const named = listen(client(t, d), ch, { last: 1, persist: 'elsewhere' });
  await named.take(1);
  assert.equal(kept.get('holdfast:elsewhere'), named.sub.cursor);
});

claim('an iteration that is slower than its channel gets everything, in order, from a bounded buffer', { ms: 60000 }, async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const m = await Meddler.open(t, d);
  const c = client(t, m);
  const iterator = c.messages(ch)[Symbol.asyncIterator]();
  await iterator.sub.ready;
  await event(c, 'transport');
  const first = iterator.next();
  await d.post(`/v1/publish?channel=${ch}&batch=lines`, numbers(2000).join('\n'), { headers: { 'content-type': 'text/plain' } });
  const got = [(await first).value];
  const polls = m.count('/v1/poll');
  const live = listen(c, ch, { last: 1 });
  assert.deepEqual(datas(await live.take(1)), ['1999']);
  assert.equal(iterator.sub.full, true);
  while (got.length < 2000) got.push((await iterator.next()).value);
  assert.deepEqual(datas(got), numbers(2000).map(String));
  assert.ok(m.count('/v1/poll') > polls + 2, 'nothing was fetched: what was it fed from?');
  await d.publish(ch, 'live again');
  assert.equal((await iterator.next()).value.data, 'live again');
  await iterator.return();
  assert.equal((await iterator.next()).done, true);
});

claim('for await, until break', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const c = client(t, d);
  for (const i of numbers(5)) await d.publish(ch, `${i}`);
  const got = [];
  for await (const m of c.messages(ch, { since: 0 })) {
    got.push(m.data);
    if (m.data === '3') break;
  }
  assert.deepEqual(got, ['0', '1', '2', '3']);
  assert.equal(c.state, 'connecting');
  await until(() => c.state === 'idle', 5000, 'rest');
});

claim('closing the client ends iterations, and everything that would keep the process', async (t) => {
  const d = await daemon(t);
  const c = client(t, d);
  const iterator = c.messages(fresh())[Symbol.asyncIterator]();
  const next = iterator.next();
  await event(c, 'transport');
  await c.close();
  assert.equal((await next).done, true);
  assert.equal(c.state, 'closed');
  await c.close();
});

daemon.ends();
