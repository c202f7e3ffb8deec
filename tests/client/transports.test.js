// SPDX-License-Identifier: MIT
// What holds on every transport: nothing lost, nothing twice, in order.

import { claim, shared, assert, fresh } from '../wire/lib/claim.js';
import { until } from '../wire/lib/wait.js';
import { client, datas, event, listen, numbers, WebSocket } from './lib/client.js';

const daemon = shared({ options: { 'namespace.presence': 'yes', 'presence.batch': '10ms', 'delivery.poll_messages': 20 } });
const ALL = ['websocket', 'sse', 'longpoll', 'shortpoll'];

for (const transport of ALL) {
  const one = { transports: [transport] };

  claim(`${transport}: live messages of several channels arrive once, in the order of the log`, async (t) => {
    const d = await daemon(t);
    const [a, b] = [fresh(), fresh()];
    const c = client(t, d, one);
    const order = [];
    const subs = [a, b].map((ch) => c.subscribe(ch, (m) => order.push(m)));
    await Promise.all(subs.map((s) => s.ready));
    await event(c, 'transport');
    assert.equal(c.transport, transport);
    const last = listen(c, a);
    await last.sub.ready;
    const ids = [];
    for (const i of numbers(30)) ids.push((await d.publish(i % 3 ? a : b, `${i}`)).id);
    await last.take(20);
    await last.sub.ready;
    const seen = () => order.map((m) => m.id);
    const end = listen(c, b, { since: ids[26] });
    await end.take(1);
    assert.deepEqual(seen(), ids);
    assert.deepEqual(datas(order), numbers(30).map(String));
  });

  claim(`${transport}: since, last, and all that is kept`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    const ids = [];
    for (const i of numbers(50)) ids.push((await d.publish(ch, `${i}`)).id);
    const c = client(t, d, one);
    const all = listen(c, ch, { since: 0 });
    const some = listen(c, ch, { since: ids[9] });
    const last = listen(c, ch, { last: 30 });
    const live = listen(c, ch);
    await Promise.all([all, some, last, live].map((l) => l.sub.ready));
    await event(c, 'transport');
    await d.publish(ch, 'end');
    assert.deepEqual(datas(await all.take(51)), [...numbers(50).map(String), 'end']);
    assert.deepEqual(datas(await some.take(41)), [...numbers(40, 10).map(String), 'end']);
    assert.deepEqual(datas(await last.take(31)), [...numbers(30, 20).map(String), 'end']);
    assert.deepEqual(datas(await live.take(1)), ['end']);
    assert.equal(all.sub.cursor >= ids[49], true);
  });

  claim(`${transport}: channels come and go while it is connected`, async (t) => {
    const d = await daemon(t);
    const chs = numbers(6).map(() => fresh());
    const c = client(t, d, one);
    const first = listen(c, chs[0]);
    await first.sub.ready;
    await event(c, 'transport');
    const others = chs.slice(1).map((ch) => listen(c, ch));
    await Promise.all(others.map((l) => l.sub.ready));
    for (const ch of chs) await d.publish(ch, `to ${ch}`);
    for (const [i, l] of [first, ...others].entries()) assert.deepEqual(datas(await l.take(1)), [`to ${chs[i]}`]);
    others[0].sub.close();
    await d.publish(chs[1], 'nobody');
    await d.publish(chs[2], 'again');
    assert.deepEqual(datas(await others[1].take(1)), ['again']);
    assert.equal(others[0].items.length, 0);
  });

  claim(`${transport}: JSON, text, binary, and a type of its own come as what they are`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    const c = client(t, d, one);
    const got = listen(c, ch, { since: 0 });
    const bytes = Uint8Array.from(numbers(256));
    await c.publish(ch, { a: [1, 'ü', null] });
    await c.publish(ch, 'text');
    await c.publish(ch, bytes);
    await c.publish(ch, '<p>', { type: 'text/html' });
    await c.publish(ch, bytes.buffer, { type: 'image/png' });
    const [j, s, b, h, p] = await got.take(5);
    assert.deepEqual(j.data, { a: [1, 'ü', null] });
    assert.equal(s.data, 'text');
    assert.deepEqual(b.data, bytes);
    assert.deepEqual([h.data, h.type], ['<p>', 'text/html']);
    assert.deepEqual([p.data, p.type], [bytes, 'image/png']);
    assert.equal(j.channel, ch);
    assert.equal(typeof j.ts, 'number');
    assert.equal(s.prev, j.id);
  });
}

for (const transport of ['websocket', 'sse', 'longpoll']) {
  claim(`${transport}: ephemeral messages arrive, and are not in history`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    const c = client(t, d, { transports: [transport] });
    const got = listen(c, ch);
    await got.sub.ready;
    await event(c, 'transport');
    await until(async () => (await d.admin(`/v1/admin/channel?channel=${ch}`)).json.subscribers === 1, 5000, 'the subscription'); // between polls it would be missed
    const receipt = await c.publish(ch, { typing: true }, { ephemeral: true });
    assert.equal(receipt.id, undefined);
    const [m] = await got.take(1);
    assert.deepEqual([m.ephemeral, m.id, m.data], [true, undefined, { typing: true }]);
    assert.deepEqual(await c.history(ch), []);
  });
}

for (const transport of ALL) {
  claim(`${transport}: who is there is told, and who comes`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    const events = [];
    const ann = client(t, d, { transports: [transport], presence: { name: 'Ann' } });
    const one = ann.subscribe(ch, { presence: true, onPresence: (e) => { events.push(e); ann.news.push({ type: 'presence' }); } });
    await one.ready;
    await event(ann, 'presence');
    assert.deepEqual(events[0].members.map((m) => m.info), [{ name: 'Ann' }]);
    const bob = client(t, d, { presence: { name: 'Bob' }, transports: ['websocket'] });
    await bob.subscribe(ch).ready;
    const there = () => events.some((e) => e.members?.some((m) => m.info?.name === 'Bob'));
    while (!there()) await event(ann, 'presence', () => true, 15000);
    const names = (await ann.presence(ch)).map((m) => m.info.name).sort();
    assert.deepEqual(names, ['Ann', 'Bob']);
  });
}

for (const transport of ALL) {
  claim(`${transport}: a pattern brings all its channels, those to come too, once and in order`, async (t) => {
    const d = await daemon(t);
    const space = fresh('room');
    const ids = [];
    for (const i of numbers(45)) ids.push((await d.publish(`${space}:${i % 4}`, `${i}`)).id);
    const c = client(t, d, { transports: [transport] });
    const got = listen(c, `${space}:*`, { since: ids[4] });
    const own = listen(c, `${space}:1`, { last: 1 });
    await event(c, 'transport');
    for (const i of numbers(45, 45)) await d.publish(`${space}:${i % 7}`, `${i}`);
    const all = await got.take(85);
    assert.deepEqual(datas(all), numbers(85, 5).map(String));
    assert.deepEqual(all.slice(0, 3).map((m) => m.channel), [1, 2, 3].map((n) => `${space}:${n}`));
    const mine = numbers(45, 45).filter((i) => i % 7 === 1);
    assert.deepEqual(datas(await own.take(1 + mine.length)), [41, ...mine].map(String));
    assert.equal(c.seen.gap.length, 0);
  });
}

claim('history: the newest, those after an id, and more than a reply holds', async (t) => {
  const d = await t.daemon({ options: { 'limits.history_limit': 10 } });
  const ch = fresh();
  const ids = [];
  for (const i of numbers(35)) ids.push((await d.publish(ch, `${i}`)).id);
  const c = client(t, d);
  assert.deepEqual(datas(await c.history(ch)), numbers(35).map(String));
  assert.deepEqual(datas(await c.history(ch, { since: ids[29] })), numbers(5, 30).map(String));
  assert.deepEqual(datas(await c.history(ch, { limit: 12 })), numbers(12).map(String));
  assert.deepEqual(datas(await c.history(ch, { last: 3 })), numbers(3, 32).map(String));
});

claim('without a WebSocket at all it takes an event stream', async (t) => {
  const d = await daemon(t);
  const kept = globalThis.WebSocket;
  delete globalThis.WebSocket;
  t.cleanup(() => { if (kept) globalThis.WebSocket = kept; });
  const c = client(t, d, { WebSocket: undefined });
  const got = listen(c, fresh());
  await got.sub.ready;
  assert.equal((await event(c, 'transport')).transport, 'sse');
  assert.ok(WebSocket);
});

daemon.ends();
