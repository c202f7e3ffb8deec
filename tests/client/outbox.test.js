// SPDX-License-Identifier: MIT
// Publishing: each once, in order, with its receipt, whatever happens between us and the broker.

import { claim, assert } from '../wire/lib/claim.js';
import { AbortError, OutboxFullError, RefusedError, client, datas, event, listen, numbers } from './lib/client.js';
import { Meddler } from './lib/meddler.js';
import { until } from '../wire/lib/wait.js';

const isPublish = (req) => req.url.startsWith('/v1/publish');

claim('answers that are lost on the way store nothing twice and turn nothing round', { ms: 60000 }, async (t) => {
  const d = await t.daemon();
  let n = 0;
  const m = await Meddler.open(t, d, { lose: (req) => isPublish(req) && n++ % 2 === 0 });
  const c = client(t, m, { backoff: { min: 1, max: 5 } });
  const receipts = [];
  for (const i of numbers(100)) {
    receipts.push(c.publish(i % 3 ? 'a' : 'b', i));
    if (i % 7 === 0) await Promise.race(receipts.slice(-1));
  }
  const all = await Promise.all(receipts);
  const stored = [...await c.history('a'), ...await c.history('b')];
  assert.deepEqual(datas(await c.history('a')), numbers(100).filter((i) => i % 3));
  assert.deepEqual(datas(await c.history('b')), numbers(100).filter((i) => i % 3 === 0));
  assert.deepEqual(all.map((r) => r.id).sort(), stored.map((s) => s.id).sort());
  assert.ok(all.some((r) => r.duplicate), 'nothing was lost: the proxy did nothing');
  for (const [i, r] of all.entries()) assert.equal(stored.find((s) => s.id === r.id).data, i);
});

claim('a socket that is cut after the frame was sent stores nothing twice', { ms: 60000 }, async (t) => {
  const d = await t.daemon();
  let n = 0;
  const m = await Meddler.open(t, d);
  m.rules.frame = (text) => {
    if (!/"durability"/.test(text) || n++ % 2) return text;
    m.cut();
    return null;
  };
  const c = client(t, m, { transports: ['websocket'] });
  listen(c, 'a');
  const receipts = [];
  for (const i of numbers(12)) {
    await event(c, 'state', (s) => s.state === 'connected').catch(() => {});
    receipts.push(c.publish('a', i));
    await receipts[i];
    if (c.state === 'connected') c.news.push({ type: 'state', detail: { state: 'connected' } });
  }
  assert.deepEqual(datas(await c.history('a')), numbers(12));
  assert.ok(n > 2);
});

claim('publishes made while the broker is away are sent once, in order, when it is back', async (t) => {
  const d = await t.daemon();
  await d.stop();
  const c = client(t, d);
  const receipts = numbers(500).map((i) => c.publish('a', i));
  assert.equal(c.pending, 500);
  await d.launch();
  await Promise.all(receipts);
  assert.deepEqual(datas(await c.history('a')), numbers(500));
  assert.equal(c.pending, 0);
});

claim('one that is refused is refused alone, and the others keep their order', async (t) => {
  const d = await t.daemon({ config: { 'namespace locked': { publish: 'admin' } } });
  const c = client(t, d);
  const results = await Promise.allSettled([
    c.publish('a', 0), c.publish('a', 1), c.publish('locked:a', 'no'), c.publish('a b', 'no'), c.publish('a', 2), c.publish('b', 3),
  ]);
  assert.deepEqual(results.map((r) => r.status), ['fulfilled', 'fulfilled', 'rejected', 'rejected', 'fulfilled', 'fulfilled']);
  assert.ok(results[2].reason instanceof RefusedError);
  assert.deepEqual([results[2].reason.code, results[3].reason.code], ['forbidden', 'bad_channel']);
  assert.deepEqual(datas(await c.history('a')), [0, 1, 2]);
});

claim('keys, ttl and expected heads', async (t) => {
  const d = await t.daemon();
  const c = client(t, d);
  const first = await c.publish('a', 1, { key: 'k' });
  const again = await c.publish('a', 1, { key: 'k' });
  assert.deepEqual([again.id, first.duplicate, again.duplicate], [first.id, false, true]);
  const second = await c.publish('a', 2, { expect: first.id });
  await assert.rejects(c.publish('a', 3, { expect: first.id }), (err) => {
    assert.deepEqual([err.code, err.status, err.detail.head], ['conflict', 409, second.id]);
    return true;
  });
  const [x, y] = await Promise.all([c.publish('a', 4), c.publish('a', 5, { ttl: 3600 })]);
  assert.ok(x.id < y.id);
  const got = listen(c, 'a'); // and the same over a socket
  await event(c, 'transport');
  await assert.rejects(c.publish('a', 3, { expect: first.id }), (err) => err.detail.head === y.id);
  assert.equal((await c.publish('a', 1, { key: 'k' })).id, first.id);
  await c.publish('a', 6, { ttl: 60 });
  assert.deepEqual(datas(await got.take(1)), [6]);
});

claim('an outbox is bounded', async (t) => {
  const d = await t.daemon();
  await d.stop();
  const c = client(t, d, { maxOutbox: 3 });
  const waiting = numbers(3).map((i) => c.publish('a', i));
  await assert.rejects(c.publish('a', 3), (err) => err instanceof OutboxFullError && err.code === 'outbox_full');
  await c.close();
  for (const w of waiting) await assert.rejects(w, { code: 'closed' });
});

claim('a signal takes back what was not sent yet', async (t) => {
  const d = await t.daemon();
  await d.stop();
  const c = client(t, d);
  const ctl = new AbortController();
  const first = c.publish('a', 0);
  await event(c, 'error').catch(() => {});
  const second = c.publish('a', 1, { signal: ctl.signal });
  const third = c.publish('a', 2);
  await until(() => c.pending === 3, 5000, 'three publishes');
  ctl.abort();
  await assert.rejects(second, AbortError);
  await d.launch();
  await Promise.all([first, third]);
  assert.deepEqual(datas(await c.history('a')), [0, 2]);
});

claim('what the caller changes after publishing is not published', async (t) => {
  const c = client(t, await t.daemon());
  const data = { n: 1 };
  const done = c.publish('a', data);
  data.n = 2;
  await done;
  assert.deepEqual(datas(await c.history('a')), [{ n: 1 }]);
});

claim('a broker that lost a part of the log takes the publishes that follow', async (t) => {
  const d = await t.daemon();
  const c = client(t, d);
  for (const i of numbers(3)) await c.publish('a', i);
  await d.stop();
  d.dataDir = `${d.dir}/other`;
  await d.launch();
  for (const i of numbers(3, 3)) await c.publish('a', i);
  assert.deepEqual(datas(await c.history('a')), [3, 4, 5]);
});
