// SPDX-License-Identifier: MIT
// Messages with a ttl: not delivered when it is over, and told as a gap in their place, on every transport.

import { claim, shared, assert, fresh } from './lib/claim.js';
import { TRANSPORTS } from './lib/follow.js';
import { until } from './lib/wait.js';

const daemon = shared({ config: { 'namespace ram': { durability: 'memory' }, 'namespace few': { history_count: 3 } } });

const publish = (d, ch, text, ttl) => d.publish(ch, text, { query: ttl === undefined ? '' : `&ttl=${ttl}` });
const SHORT = 0.15;

const history = async (d, ch, query = 'since=0') => (await d.get(`/v1/history?channel=${ch}&${query}`)).json;
const texts = (reply) => reply.messages.map((m) => m.data);

// Until none of these texts can be had any more.
const gone = (d, ch, ...words) => until(async () => !texts(await history(d, ch)).some((w) => words.includes(w)), 5000, `the end of ${words}`);
// Until the broker has taken the content of n more messages.
async function trimmed(d, before, n) {
  await d.untilMetric('holdfast_messages_trimmed_total', (v) => v >= before + n);
}
const trims = (d) => d.metric('holdfast_messages_trimmed_total');

const gap = (from, to, oldest, channel) => ({ type: 'gap', channel, from, to, oldest, reason: 'expired' });

for (const ns of ['', 'ram:']) {
  for (const when of ['just over', 'trimmed']) {
    claim(`a run of expired messages (${when}) in ${ns || 'the default namespace'} is one gap on every transport`, async (t) => {
      const d = await daemon(t);
      const ch = ns + fresh();
      const before = await trims(d);
      const a = await publish(d, ch, 'a');
      await publish(d, ch, 'b', SHORT);
      const c = await publish(d, ch, 'c', SHORT);
      const e = await publish(d, ch, 'e', 3600);
      await gone(d, ch, 'b', 'c');
      if (when === 'trimmed') await trimmed(d, before, 2);
      for (const transport of TRANSPORTS) {
        const f = await t.follow(transport, d, [ch], { since: a.id });
        assert.deepEqual(await f.takeGap(), gap(a.id, c.id, a.id, ch));
        const [m] = await f.take(1);
        assert.deepEqual([m.json.id, m.json.prev, m.json.data], [e.id, c.id, 'e']);
        f.close();
      }
      const h = await history(d, ch);
      assert.deepEqual(texts(h), ['a', 'e']);
      assert.deepEqual(h.gaps, [gap(a.id, c.id, a.id, ch)]);
    });
  }

  claim(`expired messages at the end of ${ns || 'the default namespace'} are told before the next one comes live`, async (t) => {
    const d = await daemon(t);
    const ch = ns + fresh();
    const a = await publish(d, ch, 'a');
    const b = await publish(d, ch, 'b', SHORT);
    await gone(d, ch, 'b');
    const fs = [];
    for (const transport of TRANSPORTS) {
      const f = await t.follow(transport, d, [ch], { since: a.id });
      assert.deepEqual(await f.takeGap(), gap(a.id, b.id, a.id, ch));
      fs.push(f);
    }
    const c = await publish(d, ch, 'c');
    for (const f of fs) {
      const [m] = await f.take(1);
      assert.deepEqual([m.json.id, m.json.prev], [c.id, b.id]);
    }
  });

  claim(`in ${ns || 'the default namespace'} last=1 is the newest message that has not expired`, async (t) => {
    const d = await daemon(t);
    const ch = ns + fresh();
    await publish(d, ch, 'a');
    const b = await publish(d, ch, 'b');
    const c = await publish(d, ch, 'c', SHORT);
    await gone(d, ch, 'c');
    for (let round = 0; round < 2; round++) { // from the log, then perhaps from memory
      for (const transport of TRANSPORTS) {
        const f = await t.follow(transport, d, [ch], { last: 1 });
        const items = [await f.items.next(), await f.items.next()].map((i) => i.json);
        assert.deepEqual(items.find((i) => i.type === 'message').id, b.id);
        assert.deepEqual(items.find((i) => i.type === 'gap'), gap(b.id, c.id, (await history(d, ch)).messages[0].id, ch));
        f.close();
      }
    }
    assert.deepEqual(texts(await history(d, ch, 'last=1')), ['b']);
  });
}

claim('gaps stand in the order of the log, so that any id seen last resumes all channels', async (t) => {
  const d = await daemon(t);
  const x = fresh(), y = fresh();
  const x1 = await publish(d, x, 'x1');
  const x2 = await publish(d, x, 'x2', SHORT);
  const y3 = await publish(d, y, 'y3');
  const x4 = await publish(d, x, 'x4', SHORT);
  const x5 = await publish(d, x, 'x5');
  await gone(d, x, 'x2', 'x4');
  for (const transport of ['websocket', 'sse']) {
    const f = await t.follow(transport, d, [x, y], { since: x1.id });
    const got = [];
    while (got.length < 4) got.push((await f.items.next()).json);
    assert.deepEqual(got.map((i) => [i.type, i.id ?? i.to]), [['gap', x2.id], ['message', y3.id], ['gap', x4.id], ['message', x5.id]]);
    f.close();
  }
});

claim('a message with a ttl is delivered live like any other', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const fs = [];
  for (const transport of ['websocket', 'sse']) fs.push(await t.follow(transport, d, [ch]));
  const a = await publish(d, ch, 'a', 3600);
  for (const f of fs) assert.equal((await f.take(1))[0].json.id, a.id);
});

claim('ttl survives kill -9', { ms: 40000 }, async (t) => {
  const d = await t.daemon();
  const a = await publish(d, 'a', 'a');
  const b = await publish(d, 'a', 'b', 0.5);
  await publish(d, 'a', 'c', 3600);
  await d.restart({ kill: true });
  await gone(d, 'a', 'b');
  await d.untilMetric('holdfast_messages_trimmed_total', (v) => v >= 1);
  await d.restart({ kill: true });
  const h = await history(d, 'a');
  assert.deepEqual(texts(h), ['a', 'c']);
  assert.deepEqual(h.gaps, [gap(a.id, b.id, a.id, 'a')]);
});

claim('expired messages move no floor: who saw what was there before them is told of them, not of retention', async (t) => {
  const d = await daemon(t);
  const ch = fresh('few:x');
  const before = await trims(d);
  const first = await publish(d, ch, '0', SHORT);
  const a = await publish(d, ch, 'a', SHORT);
  const b = await publish(d, ch, 'b', SHORT);
  await gone(d, ch, '0', 'a', 'b');
  await trimmed(d, before, 3);
  const c = await publish(d, ch, 'c');
  const h = await history(d, ch, `since=${first.id}`);
  assert.deepEqual(h.gaps, [gap(first.id, b.id, c.id, ch)]);
  assert.deepEqual((await history(d, ch, `since=${a.id}`)).gaps, [gap(a.id, b.id, c.id, ch)]);
  assert.equal((await history(d, ch, `since=${b.id}`)).gaps, undefined);
  // retention takes the marker as the oldest, and then it is retention that tells
  const e = [];
  for (let i = 0; i < 3; i++) e.push(await publish(d, ch, `e${i}`));
  await until(async () => texts(await history(d, ch)).length === 3, 5000, 'retention');
  assert.deepEqual((await history(d, ch, `since=${first.id}`)).gaps, [{ type: 'gap', channel: ch, from: first.id, to: c.id, oldest: e[0].id, reason: 'retention' }]);
});

claim('an expired payload is no longer in the admin figures', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await publish(d, ch, 'keep');
  await publish(d, ch, 'x'.repeat(1000), SHORT);
  await until(async () => (await d.admin(`/v1/admin/channel?channel=${ch}`)).json.bytes === 4, 5000, 'the bytes to go');
});

daemon.ends();
