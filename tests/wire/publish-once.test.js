// SPDX-License-Identifier: MIT
// Publishing once, in order, on condition, and several channels at a time: keys, producers, expect, batch=messages, exclude.

import { claim, shared, assert, refused, fresh, unbroken } from './lib/claim.js';
import { readAll, readHistory } from './lib/follow.js';

const config = { 'namespace ram': { durability: 'memory' }, 'namespace safe': { durability: 'sync' }, 'namespace board': { publish: 'admin' } };
const daemon = shared({ config, options: { 'server.workers': 2 } });

const post = (d, ch, body, headers = {}, query = '') =>
  d.post(`/v1/publish?channel=${encodeURIComponent(ch)}${query}`, body, { headers: { 'content-type': 'text/plain', ...headers } });
const keyed = (d, ch, key, body = 'x', query = '') => post(d, ch, body, { 'Idempotency-Key': key }, query);
const numbered = (d, ch, id, seq, body = `${id} ${seq}`, query = '') => post(d, ch, body, { 'Producer-Id': id, 'Producer-Seq': seq }, query);
const ok = (a) => {
  assert.equal(a.status, 200, a.text);
  return a.json;
};
const texts = async (d, ch) => (await readHistory(d, ch)).map((m) => m.json.data);
const metric = async (d, name) => (await d.metric(name)) ?? 0;

// A way to publish with terms: HTTP headers and parameters, or the members of a frame.
const WAYS = {
  http: async (t, d) => async (ch, data, { key, producer, seq, ...query } = {}) => {
    const headers = { ...(key !== undefined && { 'Idempotency-Key': key }), ...(producer !== undefined && { 'Producer-Id': producer }), ...(seq !== undefined && { 'Producer-Seq': seq }) };
    const a = await post(d, ch, data, headers, Object.entries(query).map(([k, v]) => `&${k}=${v}`).join(''));
    return a.status === 200 ? a.json : { ...a.json.error, status: a.status };
  },
  websocket: async (t, d) => {
    const w = await t.ws(d, '/v1/ws');
    return async (ch, data, { seq, ...members } = {}) => {
      const { type, ...reply } = await w.command({ type: 'publish', channel: ch, data, ...members, ...(seq !== undefined && { producer_seq: seq }) });
      delete reply.ref;
      return reply;
    };
  },
};

for (const [way, open] of Object.entries(WAYS)) {
  for (const ns of ['', 'safe:', 'ram:']) {
    claim(`${way}: a key repeated in ${ns || 'the default namespace'} is stored once`, async (t) => {
      const d = await daemon(t);
      const publish = await open(t, d);
      const ch = ns + fresh();
      const first = await publish(ch, 'one', { key: 'k' });
      assert.equal(first.duplicate, false);
      const again = await publish(ch, 'another payload', { key: 'k' });
      assert.deepEqual(again, { ...first, duplicate: true });
      const other = await publish(ch, 'two', { key: 'K' });
      assert.equal(other.duplicate, false);
      assert.equal((await publish(`${ns}${fresh()}`, 'elsewhere', { key: 'k' })).duplicate, false);
      assert.deepEqual(await texts(d, ch), ['one', 'two']);
    });

    claim(`${way}: a producer's numbers in ${ns || 'the default namespace'} are kept in order`, async (t) => {
      const d = await daemon(t);
      const publish = await open(t, d);
      const ch = ns + fresh(), producer = fresh('producer');
      const first = await publish(ch, 'a', { producer, seq: 41 });
      assert.equal(first.duplicate, false);
      const second = await publish(ch, 'b', { producer, seq: 42 });
      assert.equal(second.duplicate, false);
      assert.deepEqual(await publish(ch, 'b', { producer, seq: 42 }), { ...second, duplicate: true });
      assert.deepEqual(await publish(ch, 'a', { producer, seq: 41 }), { ...second, id: null, duplicate: true });
      const gap = await publish(ch, 'd', { producer, seq: 44 });
      assert.equal(gap.code, 'producer_gap');
      assert.equal(gap.expected, 43);
      if (way === 'http') assert.equal(gap.status, 409);
      assert.equal((await publish(ch, 'c', { producer, seq: 43 })).duplicate, false);
      assert.deepEqual(await texts(d, ch), ['a', 'b', 'c']);
    });

    claim(`${way}: expect in ${ns || 'the default namespace'} publishes only behind the head it names`, async (t) => {
      const d = await daemon(t);
      const publish = await open(t, d);
      const ch = ns + fresh();
      const early = await publish(ch, 'x', { expect: `${(await d.get('/v1/info')).json.epoch}.1` });
      assert.equal(early.code, 'conflict');
      assert.equal(early.head, null);
      const first = await publish(ch, 'a', { expect: 'none' });
      assert.equal(first.channel, ch);
      const none = await publish(ch, 'x', { expect: 'none' });
      assert.equal(none.code, 'conflict');
      assert.equal(none.head, first.id);
      if (way === 'http') assert.equal(none.status, 409);
      const second = await publish(ch, 'b', { expect: first.id });
      assert.equal((await publish(ch, 'x', { expect: first.id })).head, second.id);
      assert.equal((await publish(ch, 'x', { expect: 'zzzzzz.1' })).code, 'conflict');
      assert.deepEqual(await texts(d, ch), ['a', 'b']);
    });
  }

  claim(`${way}: of many who expect the same head one wins`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    const publishers = await Promise.all(Array.from({ length: 20 }, () => open(t, d)));
    const { id } = await d.publish(ch, 'start');
    const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => publishers[i](ch, `${i}`, { expect: id })));
    const winners = replies.filter((r) => r.id);
    assert.equal(winners.length, 1);
    for (const r of replies) if (!r.id) assert.deepEqual([r.code, r.head], ['conflict', winners[0].id]);
    assert.equal((await texts(d, ch)).length, 2);
  });

  claim(`${way}: a key goes before expect, so that a repetition is no conflict`, async (t) => {
    const d = await daemon(t);
    const publish = await open(t, d);
    const ch = fresh();
    const first = await publish(ch, 'a', { key: 'once', expect: 'none' });
    assert.deepEqual(await publish(ch, 'a', { key: 'once', expect: 'none' }), { ...first, duplicate: true });
  });

  for (const [name, terms] of [
    ['a key of 256 bytes', { key: 'k'.repeat(256) }],
    ['an empty key', { key: '' }],
    ['a producer without a number', { producer: 'p' }],
    ['a number without a producer', { seq: 1 }],
    ['the number 0', { producer: 'p', seq: 0 }],
    ['a number with a fraction', { producer: 'p', seq: 1.5 }],
    ['a producer that is not printable', { producer: 'p\xe9', seq: 1 }],
    ['a producer of 256 bytes', { producer: 'p'.repeat(256), seq: 1 }],
    ['a key and a producer', { key: 'k', producer: 'p', seq: 1 }],
    ['an ephemeral key', { ephemeral: true, key: 'k' }],
    ['an ephemeral producer', { ephemeral: true, producer: 'p', seq: 1 }],
    ['an ephemeral expect', { ephemeral: true, expect: 'none' }],
    ['an ephemeral ttl', { ephemeral: true, ttl: 5 }],
    ['expect of nonsense', { expect: 'yesterday' }],
    ['a ttl of 0', { ttl: 0 }],
    ['a ttl of 200 years', { ttl: 200 * 366 * 86400 }],
  ]) {
    claim(`${way}: ${name} is refused`, async (t) => {
      const d = await daemon(t);
      const publish = await open(t, d);
      const ch = fresh();
      const reply = await publish(ch, 'x', terms);
      assert.equal(reply.code, 'bad_parameter', JSON.stringify(reply));
      if (way === 'http') assert.equal(reply.status, 400);
      assert.deepEqual(await texts(d, ch), []);
    });
  }
}

claim('a key of 255 bytes is a key', async (t) => {
  const d = await daemon(t);
  const ch = fresh(), key = 'é'.repeat(127) + 'k';
  const w = await t.ws(d, '/v1/ws');
  const publish = () => w.command({ type: 'publish', channel: ch, data: 1, key });
  assert.equal((await publish()).duplicate, false);
  assert.equal((await publish()).duplicate, true);
});

claim('two publishes with one key at the same time are one', async (t) => {
  const d = await daemon(t);
  for (let round = 0; round < 20; round++) {
    const ch = fresh();
    const receipts = (await Promise.all(Array.from({ length: 8 }, (_, i) => keyed(d, ch, 'same', `${i}`)))).map(ok);
    assert.equal(receipts.filter((r) => !r.duplicate).length, 1);
    assert.equal(new Set(receipts.map((r) => r.id)).size, 1);
    assert.equal((await texts(d, ch)).length, 1);
  }
});

claim('in one round of the log the second of two equal frames is a duplicate', async (t) => {
  const d = await daemon(t);
  const w = await t.ws(d, '/v1/ws');
  const ch = fresh(), producer = fresh('producer');
  for (let i = 0; i < 200; i++) w.send({ type: 'publish', channel: ch, data: i, ref: i, producer, producer_seq: 1 + (i >> 1) });
  const replies = [];
  await w.hello();
  while (replies.length < 200) replies.push((await w.next()).json);
  replies.forEach((r, i) => assert.deepEqual([r.type, r.ref, r.duplicate], ['ok', i, i % 2 === 1], JSON.stringify(r)));
  for (let i = 0; i < 200; i += 2) assert.equal(replies[i].id, replies[i + 1].id);
  assert.deepEqual(await texts(d, ch), Array.from({ length: 100 }, (_, i) => 2 * i));
});

claim('a batch with a key is repeated with all its ids', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const first = ok(await keyed(d, ch, 'batch', 'a\nb\nc\n', '&batch=lines'));
  assert.equal(first.ids.length, 3);
  assert.deepEqual(ok(await keyed(d, ch, 'batch', 'a\nb\nc\n', '&batch=lines')), { ...first, duplicate: true });
  assert.deepEqual(await texts(d, ch), ['a', 'b', 'c']);
});

claim('duplicates and conflicts are counted', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const names = ['holdfast_publishes_duplicate_total', 'holdfast_publishes_conflict_total'];
  const before = await Promise.all(names.map((n) => metric(d, n)));
  ok(await keyed(d, ch, 'c'));
  ok(await keyed(d, ch, 'c'));
  refused({ ...(await post(d, ch, 'x', {}, '&expect=none')), json: { error: { code: 'conflict', message: 'x' } } }, 409, 'conflict');
  for (const [i, n] of names.entries()) await d.untilMetric(n, (v) => v === before[i] + 1);
});

// --- what survives ---

claim('keys and producers survive kill -9 and a restart; with memory they go with the messages', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ config });
  const a = ok(await keyed(d, 'a', 'k'));
  const batch = ok(await keyed(d, 'b', 'k', 'x\ny', '&batch=lines'));
  const p = ok(await numbered(d, 'c', 'p', 7));
  const scattered = () => d.post('/v1/publish?batch=messages', '[{"channel":"d","data":1},{"channel":"e","data":2}]', { headers: { 'Idempotency-Key': 'k' } });
  const s = ok(await scattered());
  const ram = ok(await keyed(d, 'ram:a', 'k'));
  for (const kill of [true, false]) {
    await d.restart({ kill });
    assert.deepEqual(ok(await keyed(d, 'a', 'k')), { ...a, duplicate: true });
    assert.deepEqual(ok(await keyed(d, 'b', 'k', 'x\ny', '&batch=lines')), { ...batch, duplicate: true });
    assert.deepEqual(ok(await numbered(d, 'c', 'p', 7)), { ...p, duplicate: true });
    assert.deepEqual(ok(await scattered()), { ...s, duplicate: true });
    assert.equal((await numbered(d, 'c', 'p', 9)).json.error.expected, 8);
    const again = ok(await keyed(d, 'ram:a', 'k'));
    assert.equal(again.duplicate, false);
    assert.notEqual(again.id, ram.id);
  }
  assert.equal((await texts(d, 'a')).length, 1);
});

claim('publishing again after kill -9 in the middle stores everything once', { ms: 60000 }, async (t) => {
  const d = await t.daemon({ config });
  const total = 400;
  let acked = 0;
  const publisher = async (k) => {
    for (let i = 0; i < total / 4; i++) {
      for (;;) {
        try {
          const a = k % 2 ? await numbered(d, 'all', `p${k}`, i + 1, `${k}.${i}`) : await keyed(d, 'all', `${k}.${i}`, `${k}.${i}`);
          if (a.status === 503) continue;
          ok(a);
          break;
        } catch (err) {
          if (!/ECONN|EPIPE|socket hang up/.test(`${err.code} ${err.message}`)) throw err;
          await up;
        }
      }
      acked++;
    }
  };
  let up = Promise.resolve();
  const publishers = [0, 1, 2, 3].map(publisher);
  const all = Promise.all(publishers);
  for (const goal of [60, 150, 260]) {
    while (acked < goal) await new Promise((resolve) => setImmediate(resolve)); // lint: polls
    up = d.restart({ kill: true });
    await up;
  }
  await all;
  const rows = await readHistory(d, 'all');
  unbroken(rows);
  const seen = rows.map((m) => m.json.data);
  assert.equal(new Set(seen).size, total);
  assert.equal(seen.length, total);
  for (const k of [0, 1, 2, 3]) assert.deepEqual(seen.filter((s) => s.startsWith(`${k}.`)), Array.from({ length: total / 4 }, (_, i) => `${k}.${i}`));
});

claim('after the window a key and a producer are new again', async (t) => {
  const d = await t.daemon({ config, options: { 'store.key_window': '300ms' } });
  for (const ch of ['a', 'ram:a']) {
    const first = ok(await keyed(d, ch, 'k'));
    ok(await numbered(d, ch, `p-${ch}`, 1));
    // lint: polls
    for (;;) {
      const again = ok(await keyed(d, ch, 'k'));
      if (!again.duplicate) break;
      assert.equal(again.id, first.id);
    }
    // lint: polls
    for (;;) {
      const a = await numbered(d, ch, `p-${ch}`, 5);
      if (a.status !== 409) { ok(a); break; }
    }
  }
});

claim('with the memory engine keys are kept up to store.key_memory, the newest of them', async (t) => {
  const d = await t.daemon({ options: { 'store.engine': 'memory', 'store.key_memory': 3 }, config: { namespace: { durability: 'memory' } } });
  for (let i = 0; i < 5; i++) ok(await keyed(d, 'a', `k${i}`));
  for (const [i, known] of [[4, true], [3, true], [2, true], [0, false]]) assert.equal(ok(await keyed(d, 'a', `k${i}`)).duplicate, known, `k${i}`);
  assert.equal(await d.metric('holdfast_publish_keys_dropped_total'), 3);
});

claim('hello and info tell the window', async (t) => {
  const d = await daemon(t);
  assert.equal((await d.get('/v1/info')).json.limits.key_window, 86400);
});

// --- several channels ---

const MESSAGES = (a, b) => [
  { channel: a, data: { x: 1 } },
  { channel: b, data: 'text', content_type: 'text/plain' },
  { channel: a, data: 'AAH/', encoding: 'base64' },
];

claim('batch=messages goes to several channels, ids in order', async (t) => {
  const d = await daemon(t);
  const a = fresh(), b = fresh();
  const r = ok(await d.post('/v1/publish?batch=messages', JSON.stringify(MESSAGES(a, b))));
  assert.deepEqual(Object.keys(r), ['ids', 'count', 'durability', 'duplicate']);
  assert.deepEqual([r.count, r.durability, r.duplicate], [3, 'commit', false]);
  const rows = await readAll(d, [a, b]);
  unbroken(rows);
  assert.deepEqual(rows.map((m) => m.json.id), r.ids);
  assert.deepEqual(rows.map((m) => m.json.data), [{ x: 1 }, 'text', 'AAH/']);
  assert.deepEqual(rows.map((m) => m.json.channel), [a, b, a]);
  assert.ok(rows[0].raw.endsWith('"data":{"x":1}}'));
});

claim('a frame with messages does the same; the weakest durability is told', async (t) => {
  const d = await daemon(t);
  const w = await t.ws(d, '/v1/ws');
  const a = fresh(), b = `ram:${fresh()}`, c = `safe:${fresh()}`;
  const messages = [{ channel: c, data: 1 }, { channel: b, data: 2 }, { channel: a, data: 3 }];
  const r = await w.command({ type: 'publish', messages, key: 'batch' });
  assert.deepEqual([r.type, r.count, r.durability, r.duplicate], ['ok', 3, 'memory', false]);
  assert.deepEqual((await readAll(d, [a, b, c])).map((m) => m.json.id), r.ids);
  const again = await w.command({ type: 'publish', messages, key: 'batch', ref: 'x' });
  assert.deepEqual(again, { ...r, ref: 'x', duplicate: true });
  assert.equal((await w.command({ type: 'publish', channel: c, data: 1, key: 'batch' })).duplicate, false, 'the key of a batch is its own');
});

for (const [name, body, status, code] of [
  ['a channel that is not allowed', (a) => [{ channel: a, data: 1 }, { channel: 'board:x', data: 1 }], 403, 'forbidden'],
  ['a bad channel', (a) => [{ channel: a, data: 1 }, { channel: 'a b', data: 1 }], 400, 'bad_channel'],
  ['a message without a channel', (a) => [{ channel: a, data: 1 }, { data: 1 }], 400, 'no_channel'],
  ['a message without data', (a) => [{ channel: a, data: 1 }, { channel: a }], 400, 'bad_request'],
  ['something that is no object', (a) => [{ channel: a, data: 1 }, 7], 400, 'bad_parameter'],
  ['bad base64', (a) => [{ channel: a, data: 1 }, { channel: a, data: '*', encoding: 'base64' }], 400, 'bad_parameter'],
  ['no message', () => [], 400, 'bad_request'],
]) {
  claim(`a batch with ${name} is refused as a whole`, async (t) => {
    const d = await daemon(t);
    const a = fresh();
    refused(await d.post('/v1/publish?batch=messages', JSON.stringify(body(a))), status, code);
    const w = await t.ws(d, '/v1/ws');
    const r = await w.command({ type: 'publish', messages: body(a) });
    assert.deepEqual([r.type, r.code], ['error', code]);
    assert.deepEqual(await texts(d, a), []);
  });
}

claim('a batch over several channels takes no channel of its own and no expect', async (t) => {
  const d = await daemon(t);
  const a = fresh();
  const body = JSON.stringify([{ channel: a, data: 1 }]);
  refused(await d.post(`/v1/publish?batch=messages&channel=${a}`, body), 400, 'bad_parameter');
  refused(await d.post('/v1/publish?batch=messages&expect=none', body), 400, 'bad_parameter');
  refused(await d.post('/v1/publish?batch=messages', '{"channel":"a","data":1}'), 400, ['bad_parameter', 'bad_json']);
  refused(await d.post('/v1/publish?batch=messages', '[{"channel":"a","data":1}'), 400, 'bad_json');
  const w = await t.ws(d, '/v1/ws');
  assert.equal((await w.command({ type: 'publish', channel: a, messages: [{ channel: a, data: 1 }] })).code, 'bad_parameter');
  assert.deepEqual(await texts(d, a), []);
});

// --- exclude ---

claim('a session that publishes with exclude does not get its message live, others do, and a replay has it', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const me = await t.ws(d, `/v1/ws?channel=${ch}`), you = await t.ws(d, `/v1/ws?channel=${ch}`);
  const { session } = (await me.hello()).json;
  await you.hello();
  const mine = await me.command({ type: 'publish', channel: ch, data: 'mine', exclude: true });
  assert.match(mine.id, /\./);
  const http = ok(await d.post(`/v1/publish?channel=${ch}&exclude=${session}`, '"by HTTP"', { headers: { 'content-type': 'application/json' } }));
  const ephemeral = await me.command({ type: 'publish', channel: ch, data: 'typing', ephemeral: true, exclude: true });
  assert.equal(ephemeral.id, null);
  const last = await d.publish(ch, 'for all');
  assert.deepEqual((await you.messages(4)).map((m) => m.json.data), ['mine', 'by HTTP', 'typing', 'for all']);
  const got = (await me.messages(1))[0].json;
  assert.deepEqual([got.data, got.id, got.prev], ['for all', last.id, http.id]);
  const back = await t.ws(d, `/v1/ws?channel=${ch}&since=0`);
  await back.hello();
  assert.deepEqual((await back.messages(3)).map((m) => m.json.data), ['mine', 'by HTTP', 'for all']);
});

claim('exclude works for an event stream, by the session of its hello', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const stream = await t.sse(d, `/v1/sse?channel=${ch}`);
  const { session } = (await stream.hello()).json;
  ok(await post(d, ch, 'mine', {}, `&exclude=${session}`));
  ok(await post(d, ch, 'next', {}, '&exclude=0123456789abcdef'));
  assert.equal(JSON.parse((await stream.next()).data).data, 'next');
  ok(await post(d, ch, 'mine', {}, `&exclude=${session.slice(0, 16)}`));
  ok(await post(d, ch, 'last'));
  assert.equal(JSON.parse((await stream.next()).data).data, 'last');
  for (const bad of ['', 'x', session.slice(0, 15), session.replace(/^./, 'G'), `${session}0`]) refused(await post(d, ch, 'x', {}, `&exclude=${bad}`), 400, 'bad_parameter');
});

daemon.ends();
