// SPDX-License-Identifier: MIT
// The contract of docs/protocol.md that every way to subscribe keeps: each claim runs over each line of ADAPTERS (lib/adapters.js)
// that can keep it. A new transport is one more line there.

import { claim, shared, assert, fresh } from './lib/claim.js';
import { ADAPTERS, Refusal, subscribers } from './lib/adapters.js';
import { random } from './lib/random.js';
import { until } from './lib/wait.js';

const daemon = shared({
  options: { 'limits.channels_per_subscription': 8, 'limits.last_limit': 50, 'delivery.poll_messages': 20, 'limits.recent_count': 64, 'websocket.deflate_min_bytes': 1, 'http.gzip_min_bytes': 1 },
  config: {
    namespace: { history_count: 0 },
    'namespace few': { history_count: 5 },
    'namespace secret': { subscribe: 'admin' },
  },
});

// each('what is promised', 'can', 'can', …, async (t, a, …) => …): one claim per adapter that can.
function each(name, ...rest) {
  const run = rest.pop();
  const how = typeof rest.at(-1) === 'object' ? rest.pop() : {};
  for (const a of ADAPTERS) {
    if (rest.every((can) => a.can.has(can))) claim(`${a.name}: ${name}`, how, (t) => run(t, a));
  }
}

const seq = (id) => Number(id.slice(id.lastIndexOf('.') + 1));
const range = (a, b) => [...Array(Math.max(0, b - a)).keys()].map((i) => a + i);
const numbers = (items) => items.map((m) => Number(plain(m.data)));
const plain = (data) => (typeof data === 'string' && data.startsWith('"') ? JSON.parse(data) : `${data}`);

async function publishNumbers(d, channels, from, to) {
  const ids = [];
  for (let i = from; i < to; i++) ids.push((await d.publish(channels[i % channels.length], `${i}`)).id);
  return ids;
}

async function open(t, a, d, o) {
  const r = await a.open(t, d, o);
  t.cleanup(() => r.close());
  return r;
}

// Refused with this code, and with its status where there is one.
async function refusedWith(t, a, d, o, status, code) {
  try {
    const r = await a.open(t, d, o);
    r.close();
  } catch (err) {
    if (!(err instanceof Refusal)) throw err;
    assert.equal(err.code, code, err.message);
    if (err.status !== undefined) assert.equal(err.status, status);
    return;
  }
  assert.fail(`not refused over ${a.name}: ${JSON.stringify(o).slice(0, 300)}`);
}

// --- where delivery starts ---

each('what is published is delivered, in order', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, 'before');
  const r = await open(t, a, d, { channels: [ch] });
  const ids = await publishNumbers(d, [ch], 0, 30);
  const got = await r.take(30);
  assert.deepEqual(numbers(got), range(0, 30));
  if (a.can.has('ids')) assert.deepEqual(got.map((m) => m.id), ids);
  assert.deepEqual(r.gaps, []);
});

each('since gives exactly what came after it, then live', 'ids', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = await publishNumbers(d, [ch], 0, 45);
  for (const at of [0, 7, 43, 44]) {
    const r = await open(t, a, d, { channels: [ch], since: ids[at] });
    assert.deepEqual(numbers(await r.take(44 - at)), range(at + 1, 45));
    ids.push(...await publishNumbers(d, [ch], 1000, 1001));
    const [live] = await r.take(1);
    assert.equal(plain(live.data), '1000');
    assert.equal(live.id, ids.pop());
    assert.deepEqual(r.gaps, []);
    r.close();
    await d.admin(`/v1/admin/purge?channel=${ch}`, 'POST');
    ids.splice(0, ids.length, ...await publishNumbers(d, [ch], 0, 45));
  }
});

each('since=0 gives all that is retained', async (t, a) => {
  const d = await daemon(t);
  const [all, few] = [fresh(), fresh('few:c')];
  await publishNumbers(d, [all], 0, 100);
  const r = await open(t, a, d, { channels: [all], since: '0' });
  assert.deepEqual(numbers(await r.take(100)), range(0, 100));
  await publishNumbers(d, [few], 0, 12);
  await until(async () => (await d.admin(`/v1/admin/channel?channel=${few}`)).json.count === 5, 8000, 'the trim');
  const kept = await open(t, a, d, { channels: [few], since: '0' });
  assert.deepEqual(numbers(await kept.take(5)), range(7, 12));
  assert.deepEqual([...r.gaps, ...kept.gaps], []); // what was never asked for is no gap
});

each('since=0 on a channel without messages waits for the first', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await open(t, a, d, { channels: [ch], since: '0' });
  const [id] = await publishNumbers(d, [ch], 0, 1);
  const [m] = await r.take(1);
  if (a.can.has('ids')) assert.equal(m.id, id);
  if (a.can.has('envelope')) assert.equal(m.json.prev, null);
});

each('last gives the newest of each channel, then live', async (t, a) => {
  const d = await daemon(t);
  const channels = a.can.has('many') ? [fresh(), fresh()] : [fresh()];
  await publishNumbers(d, channels, 0, 20);
  const r = await open(t, a, d, { channels, last: 3 });
  const n = 3 * channels.length;
  assert.deepEqual(numbers(await r.take(n)), range(20 - n, 20));
  await publishNumbers(d, channels, 20, 22);
  assert.deepEqual(numbers(await r.take(2)), [20, 21]);
  const none = await open(t, a, d, { channels, last: 0 });
  const more = await open(t, a, d, { channels, last: 50 });
  await publishNumbers(d, channels, 22, 24);
  assert.deepEqual(numbers(await none.take(2)), [22, 23]);
  assert.deepEqual(numbers(await more.take(24)), range(0, 24));
  assert.deepEqual([...r.gaps, ...none.gaps, ...more.gaps], []);
});

each('since wins over last', 'ids', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = await publishNumbers(d, [ch], 0, 6);
  const r = await open(t, a, d, { channels: [ch], since: ids[1], last: 1 });
  assert.deepEqual(numbers(await r.take(4)), [2, 3, 4, 5]);
});

each('an empty since counts as not given', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  await publishNumbers(d, [ch], 0, 3);
  const r = await open(t, a, d, { channels: [ch], since: '' });
  await publishNumbers(d, [ch], 3, 4);
  assert.deepEqual(numbers(await r.take(1)), [3]);
  assert.deepEqual(r.gaps, []);
});

// --- many channels, one cursor ---

each('many channels come in log order, and any id of them resumes all', 'many', 'ids', { ms: 40000 }, async (t, a) => {
  const d = await daemon(t);
  const channels = range(0, 5).map(() => fresh());
  const rnd = random(7);
  const ids = [];
  for (let i = 0; i < 120; i++) ids.push((await d.publish(rnd.pick(channels), `${i}`)).id);
  const r = await open(t, a, d, { channels, since: '0' });
  const got = await r.take(120);
  assert.deepEqual(got.map((m) => m.id), ids);
  for (let k = 0; k < 6; k++) {
    const at = rnd.int(120);
    const again = await open(t, a, d, { channels, since: got[at].id });
    assert.deepEqual(numbers(await again.take(119 - at)), range(at + 1, 120));
    again.close();
  }
});

each('prev leads from message to message of a channel', 'envelope', async (t, a) => {
  const d = await daemon(t);
  const channels = [fresh(), fresh()];
  const ids = await publishNumbers(d, channels, 0, 10);
  const r = await open(t, a, d, { channels, since: '0' });
  const got = await r.take(10);
  assert.deepEqual(got.map((m) => m.json.prev), [null, null, ...ids.slice(0, 8)]);
  for (const { raw, json } of got) {
    assert.deepEqual(Object.keys(json), ['type', 'channel', 'id', 'prev', 'ts', 'data']);
    assert.ok(Math.abs(json.ts - Date.now()) < 60000);
    assert.equal(raw, JSON.stringify(json));
  }
});

each('a channel that is named twice counts once', 'many', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await open(t, a, d, { channels: Array(9).fill(ch), since: '0' });
  await publishNumbers(d, [ch], 0, 3);
  assert.deepEqual(numbers(await r.take(3)), [0, 1, 2]);
});

each('coming back with the cursor of a quiet subscription loses nothing', 'ids', async (t, a) => {
  const d = await daemon(t);
  const [ch, other] = [fresh(), fresh()];
  await publishNumbers(d, [ch, other], 0, 4);
  const r = await open(t, a, d, { channels: [ch], wait: 0.2 });
  await until(() => r.cursor, 5000, 'a cursor');
  const { cursor } = r;
  r.close();
  await publishNumbers(d, [other], 0, 40);
  await publishNumbers(d, [ch], 4, 6);
  const again = await open(t, a, d, { channels: [ch], since: cursor });
  assert.deepEqual(numbers(await again.take(2)), [4, 5]);
  assert.deepEqual(again.gaps, []);
});

// --- history meets live ---

each('whoever comes at any moment sees no hole and no repeat', { ms: 60000 }, async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const rnd = random(11);
  const ids = []; // of number i
  let stop = false;
  const publishing = (async () => {
    while (!stop) {
      const n = 1 + rnd.int(20), from = ids.length;
      if (n < 10) ids.push((await d.publish(ch, `${from}`)).id);
      else ids.push(...(await d.publish(ch, range(from, from + n).join('\n'), { query: '&batch=lines' })).ids);
    }
  })();
  publishing.catch(() => {});
  try {
    for (let k = 0; k < 50; k++) {
      await until(() => ids.length > k * 5, 5000, 'publishes');
      const how = rnd.int(a.can.has('ids') ? 4 : 2);
      const at = rnd.int(ids.length);
      const o = [{}, { last: 1 + rnd.int(40) }, { since: ids[at] }, { since: ids.at(-1) }][how];
      const known = ids.length;
      const r = await open(t, a, d, { channels: [ch], ...o });
      const got = numbers(await r.take(40));
      assert.deepEqual(got, range(got[0], got[0] + 40), `subscriber ${k} with ${JSON.stringify(o)}`);
      if (how === 2) assert.equal(got[0], at + 1);
      if (how === 3) assert.equal(got[0], known);
      if (how === 0) assert.ok(got[0] >= known, `${got[0]} is of before (${known} were acknowledged)`);
      if (r.hello && how !== 1 && !a.name.includes('frame')) {
        assert.ok(seq(r.hello.cursor) <= seq(ids[got[0]]), `hello says ${r.hello.cursor}, and then comes ${ids[got[0]]}: subscriber ${k} with ${JSON.stringify(o)}`);
      }
      assert.deepEqual(r.gaps, []);
      r.close();
    }
  } finally {
    stop = true;
    await publishing;
  }
});

each('a reader that stops for a while catches up completely', { ms: 60000 }, async (t, a) => {
  const d = await t.daemon({ options: { 'limits.out_queue_bytes': '64KiB', 'limits.replay_window_bytes': '32KiB', 'http.write_timeout': '60s' } });
  const r = await open(t, a, d, { channels: ['a'] });
  r.pause();
  const line = 'x'.repeat(9990);
  for (let i = 0; i < 20; i++) {
    await d.publish('a', range(i * 50, i * 50 + 50).map((k) => `${k}${line}`).join('\n'), { query: '&batch=lines' });
  }
  r.resume();
  assert.deepEqual((await r.take(1000, 20000)).map((m) => parseInt(plain(m.data), 10)), range(0, 1000));
  await d.publish('a', '1000');
  assert.equal(plain((await r.take(1))[0].data), '1000');
  assert.deepEqual(r.gaps, []);
});

// --- gaps ---

const BAD_CURSORS = [
  ['nonsense', 'x', 'invalid'],
  ['quotes and backslashes', '"\\"', 'invalid'],
  ['not ASCII', 'kürzlich.5', 'invalid'],
  ['a number alone', '5', 'invalid'],
  ['a leading zero', 'e.05', 'invalid'],
  ['a negative number', 'e.-1', 'invalid'],
  ['beyond 2^63', 'e.9223372036854775808', 'invalid'],
  ['beyond the end', 'e.9223372036854775807', 'invalid'],
  ['another log', 'zzzzzz.5', 'epoch'],
];

each('a cursor that is no good gives a gap, then all there is', 'gaps', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = await publishNumbers(d, [ch], 0, 3);
  const epoch = ids[0].split('.')[0];
  for (const [what, text, reason] of BAD_CURSORS) {
    const since = text.replace(/^e\./, `${epoch}.`);
    if (a.name.includes('Last-Event-ID') && what === 'not ASCII') continue; // node would send it in Latin-1
    const r = await open(t, a, d, { channels: [ch], since });
    assert.deepEqual(await r.gap(), { type: 'gap', channel: ch, from: since, to: null, oldest: ids[0], reason }, what);
    assert.deepEqual(numbers(await r.take(3)), [0, 1, 2], what);
    assert.equal(r.gaps.length, 1);
    r.close();
  }
});

each('a cursor of any length gives a gap', 'gaps', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = await publishNumbers(d, [ch], 0, 2);
  for (const n of [128, 129, 1000, 4096, 4097, 8000]) {
    const since = 'z'.repeat(n);
    const r = await open(t, a, d, { channels: [ch], since });
    const { from, ...rest } = await r.gap();
    assert.deepEqual(rest, { type: 'gap', channel: ch, to: null, oldest: ids[0], reason: 'invalid' });
    assert.ok(from === since || (n > 128 && from === ''));
    assert.deepEqual(numbers(await r.take(2)), [0, 1]);
    r.close();
  }
});

each('a cursor older than what is kept gives a gap with its bounds', 'gaps', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh('few:c');
  const ids = await publishNumbers(d, [ch], 0, 12);
  await until(async () => (await d.admin(`/v1/admin/channel?channel=${ch}`)).json.count === 5, 8000, 'the trim');
  const r = await open(t, a, d, { channels: [ch], since: ids[2] });
  assert.deepEqual(await r.gap(), { type: 'gap', channel: ch, from: ids[2], to: ids[6], oldest: ids[7], reason: 'retention' });
  assert.deepEqual(numbers(await r.take(5)), range(7, 12));
  const exact = await open(t, a, d, { channels: [ch], since: ids[6] }); // nothing is missing after that one
  assert.deepEqual(numbers(await exact.take(5)), range(7, 12));
  assert.deepEqual(exact.gaps, []);
});

each('each channel concerned has a gap of its own', 'gaps', 'many', async (t, a) => {
  const d = await daemon(t);
  const channels = [fresh(), fresh(), fresh()];
  await publishNumbers(d, channels.slice(0, 2), 0, 2);
  const r = await open(t, a, d, { channels, since: 'other.1' });
  const gaps = [await r.gap(), await r.gap(), await r.gap()];
  assert.deepEqual(gaps.map((g) => g.channel).sort(), [...channels].sort());
  assert.equal(gaps.find((g) => g.channel === channels[2]).oldest, null);
  assert.deepEqual(numbers(await r.take(2)), [0, 1]);
});

// --- payloads ---

const lf = (s) => s.replace(/\r\n|\r/g, '\n');
const JSON_TYPE = 'application/json', TEXT = 'text/plain', BYTES = 'application/octet-stream';
const PAYLOADS = [
  [JSON_TYPE, '{"a":  1,\t"b":[ ]}'],
  [JSON_TYPE, '[1,\n 2,\r\n\r\n 3,\r 4]'],
  [JSON_TYPE, ' \n{}\n '],
  [JSON_TYPE, '1e400'], [JSON_TYPE, '-0.0'], [JSON_TYPE, 'null'], [JSON_TYPE, '"\\u0000\\ud83d\\ude00 \u2028"'],
  [JSON_TYPE, '{"type":"message","id":"evil.1","data":"}\\n\\n"}'],
  [TEXT, 'plain'], [TEXT, ''], [TEXT, 'ünïcödé 🎈 \u2028\u2029'], [TEXT, 'quotes " and \\ and \t and \0 and \x7f'],
  [TEXT, 'lines\nof\r\ntext\rand more\n\n'], [TEXT, 'data: x\n\nevent: y\nid: z\n: c\n'], [TEXT, ' leading space'], [TEXT, '\ufeffBOM'],
  [BYTES, Buffer.alloc(0)], [BYTES, Buffer.from([0])], [BYTES, Buffer.from([0xff, 0xfe, 10, 13, 0])], [BYTES, Buffer.from(range(0, 256))],
  [TEXT, Buffer.from([0x61, 0xff])],
];

// How a payload is shown as data, byte for byte.
function shown(a, type, payload) {
  const isBinary = Buffer.isBuffer(payload);
  if (a.name.startsWith('websocket format=raw')) return payload;
  const base64 = isBinary && payload.toString('base64');
  if (a.name === 'sse format=raw') return isBinary ? base64 : lf(payload);
  if (isBinary) return `"${base64}"`;
  // Of control characters only U+0000 to U+001F are escaped.
  if (type === TEXT) return JSON.stringify(payload);
  const text = payload.trim();
  return a.can.has('cr') ? text : lf(text);
}

each('every payload is shown byte for byte', { ms: 40000 }, async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const live = await open(t, a, d, { channels: [ch] });
  for (const [type, payload] of PAYLOADS) await d.publish(ch, payload, { type });
  const replayed = await open(t, a, d, { channels: [ch], since: '0' });
  for (const r of [live, replayed]) {
    const got = await r.take(PAYLOADS.length);
    PAYLOADS.forEach(([type, payload], i) => {
      const want = shown(a, type, payload);
      const bare = typeof want === 'string' && typeof got[i].data === 'string' && type === JSON_TYPE && !a.name.includes('raw');
      assert.deepEqual(bare ? got[i].data.trim() : got[i].data, want, `payload ${i}: ${JSON.stringify(payload.toString())}`);
    });
  }
});

each('a content type that is not the default of its kind is told', 'envelope', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const types = ['text/html', 'text/plain; charset=utf-8', 'application/vnd.x+json', 'image/png', 'application/x-"odd"\\'];
  for (const type of types) await d.publish(ch, '{}', { type });
  const r = await open(t, a, d, { channels: [ch], since: '0' });
  const got = (await r.take(types.length)).map((m) => m.json);
  assert.deepEqual(got.map((m) => m.content_type), ['text/html', undefined, ...types.slice(2)]);
  assert.deepEqual(got.map((m) => m.encoding), [undefined, undefined, undefined, 'base64', 'base64']);
});

each('a message of 1 MiB is delivered whole, live and replayed', { ms: 40000 }, async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const live = await open(t, a, d, { channels: [ch] });
  const big = [Buffer.alloc(1 << 20, 'x').toString(), random(3).bytes(1 << 20), `[${'\n1,'.repeat(340000)}2]`];
  const types = [TEXT, BYTES, JSON_TYPE];
  for (const [i, payload] of big.entries()) await d.publish(ch, payload, { type: types[i] });
  const replayed = await open(t, a, d, { channels: [ch], since: '0' });
  for (const r of [live, replayed]) {
    const got = await r.take(3, 20000);
    big.forEach((payload, i) => assert.ok(Buffer.from(got[i].data).equals(Buffer.from(shown(a, types[i], payload))), `message ${i} differs`));
  }
});

// --- ephemeral ---

each('an ephemeral message comes live, without id, and is never replayed', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await open(t, a, d, { channels: [ch], since: '0' });
  const [first] = await publishNumbers(d, [ch], 0, 1);
  await r.take(1);
  if (a.name.includes('longpoll')) await until(async () => await subscribers(d, ch) > 0, 5000, 'the next poll');
  await d.publish(ch, 'typing', { query: '&ephemeral=1' });
  if (a.can.has('live')) {
    const [m] = await r.take(1);
    assert.equal(plain(m.data), 'typing');
    if (a.can.has('ids')) assert.ok(!m.id);
    if (a.can.has('envelope')) assert.deepEqual(Object.keys(m.json), ['type', 'channel', 'ts', 'data']);
    if (a.can.has('stream') && a.can.has('ids')) assert.equal(r.cursor, first);
  }
  const [last] = await publishNumbers(d, [ch], 1, 2);
  const [m] = await r.take(1);
  assert.equal(plain(m.data), '1');
  if (a.can.has('envelope')) assert.equal(m.json.prev, first);
  if (a.can.has('ids')) assert.equal(m.id, last);
  const again = await open(t, a, d, { channels: [ch], since: '0' });
  assert.deepEqual(numbers(await again.take(2)), [0, 1]);
});

// --- parameters ---

each('unknown parameters are ignored', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  await publishNumbers(d, [ch], 0, 1);
  const r = await open(t, a, d, { channels: [ch], since: '0', more: { _: '1790000000', foo: '', Since: 'x', subscribers: 'y' } });
  assert.deepEqual(numbers(await r.take(1)), [0]);
  assert.deepEqual(r.gaps, []);
});

for (const bad of [{ last: 'x' }, { last: '-1' }, { last: '1.5' }, { last: '' }, { last: 51 }, { last: '18446744073709551617' }]) {
  each(`last=${bad.last} is refused`, async (t, a) => {
    await refusedWith(t, a, await daemon(t), { channels: [fresh()], ...bad }, 400, 'bad_parameter');
  });
}

for (const [name, value] of [['format', 'yaml'], ['format', ''], ['ephemeral', 'perhaps']]) {
  each(`${name}=${value} is refused`, 'url', async (t, a) => {
    if (a.name.includes('raw') && name === 'format') return; // it says format=raw already
    await refusedWith(t, a, await daemon(t), { channels: [fresh()], more: { [name]: value } }, 400, 'bad_parameter');
  });
}

for (const [what, name] of [['empty', ''], ['with a space', 'a b'], ['with *', 'a*'], ['not ASCII', 'ä'], ['with a control character', 'a\tb'],
  ['with DEL', 'a\x7f'], ['of 256 bytes', 'x'.repeat(256)]]) {
  each(`a channel name ${what} is refused`, async (t, a) => {
    const d = await daemon(t);
    await refusedWith(t, a, d, { channels: [name] }, 400, 'bad_channel');
    if (a.can.has('many')) await refusedWith(t, a, d, { channels: [fresh(), name] }, 400, 'bad_channel');
  });
}

each('every other name of printable ASCII is a channel', async (t, a) => {
  const d = await daemon(t);
  const all = String.fromCharCode(...range(33, 127)).replace('*', '');
  for (const ch of [all + fresh(), `"\\${fresh()}`, `%2F${fresh()}`, ':', '::', fresh().padEnd(255, 'x')]) {
    const r = await open(t, a, d, { channels: [ch] });
    await publishNumbers(d, [ch], 0, 1);
    const [m] = await r.take(1);
    if (a.can.has('envelope')) assert.equal(m.json.channel, ch);
    r.close();
  }
});

each('no channel is refused', 'url', async (t, a) => {
  if (a.can.has('stream') && a.name.includes('websocket')) return; // may subscribe by a frame later
  await refusedWith(t, a, await daemon(t), { channels: [] }, 400, 'no_channel');
});

each('too many channels are refused, as many as allowed are not', 'many', async (t, a) => {
  const d = await daemon(t);
  const channels = range(0, 9).map(() => fresh());
  await refusedWith(t, a, d, { channels }, 400, 'too_many_channels');
  const r = await open(t, a, d, { channels: channels.slice(0, 8) });
  await publishNumbers(d, [channels[7]], 0, 1);
  assert.deepEqual(numbers(await r.take(1)), [0]);
});

each('a namespace that is not open to all is refused, and nothing of it is seen', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh('secret:c');
  await refusedWith(t, a, d, { channels: [ch] }, 403, 'forbidden');
  if (a.can.has('many')) await refusedWith(t, a, d, { channels: [fresh(), ch] }, 403, 'forbidden');
  assert.equal((await d.admin(`/v1/admin/channel?channel=${ch}`)).status, 404);
});

each('the admin socket may subscribe to it', 'admin', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh('secret:c');
  await publishNumbers(d, [ch], 0, 1);
  const r = await open(t, a, d, { channels: [ch], since: '0', admin: true });
  assert.deepEqual(numbers(await r.take(1)), [0]);
});

// --- the end ---

each('hanging up frees the subscriber', async (t, a) => {
  const d = await daemon(t);
  const channels = a.can.has('many') ? [fresh(), fresh()] : [fresh()];
  await publishNumbers(d, channels, 0, 2);
  const r = await open(t, a, d, { channels });
  if (a.can.has('live')) assert.equal(await subscribers(d, channels[0]), 1);
  r.close();
  for (const ch of channels) await until(async () => await subscribers(d, ch) === 0, 5000, `no subscriber of ${ch}`);
});

each('hanging up in the middle of a replay frees the subscriber', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  await d.publish(ch, range(0, 3000).map((i) => `${i}`.padEnd(1000)).join('\n'), { query: '&batch=lines' });
  const rnd = random(5);
  for (let k = 0; k < 8; k++) {
    const r = await open(t, a, d, { channels: [ch], since: '0' });
    await r.take(1 + rnd.int(50));
    r.close();
  }
  await until(async () => await subscribers(d, ch) === 0, 5000, 'no subscriber');
});

each('a quiet stream carries heartbeats', 'stream', async (t, a) => {
  const d = await t.daemon({ options: { 'delivery.heartbeat': '150ms' } });
  const r = await open(t, a, d, { channels: ['a'] });
  if (a.name.includes('websocket')) await new Promise((resolve) => r.client.ws.once('ping', resolve));
  else assert.equal((await r.others.next(5000, 'a heartbeat')).type, 'heartbeat');
  await d.publish('a', 'x');
  await r.take(1);
});

const DRAIN = { 'server.drain_grace': '3s', 'server.drain_spread': '500ms', 'http.linger': '200ms', 'websocket.close_timeout': '300ms' };

each('a node that drains says goodbye, and what was acknowledged goes out before', async (t, a) => {
  const d = await t.daemon({ options: DRAIN });
  const r = await open(t, a, d, { channels: ['a'] });
  await publishNumbers(d, ['a'], 0, 5);
  assert.deepEqual(numbers(await r.take(5)), range(0, 5));
  d.signal('SIGTERM');
  if (a.can.has('stream')) {
    const g = await r.others.next(5000, 'goodbye');
    assert.equal(g.type, 'goodbye');
    assert.equal(g.reason, 'drain');
    assert.equal(g.reconnect, true);
    assert.ok(g.delay_ms >= 0 && g.delay_ms <= 500);
  }
  // Nothing more, and the end; a poll that comes again is refused.
  const end = await r.items.next(5000).catch((err) => err);
  assert.ok(end instanceof Error, `after the drain came ${JSON.stringify(end)}`);
  assert.equal((await d.awaitExit()).code, 0);
});

each('whoever comes while it drains is refused', async (t, a) => {
  // one worker: workers hear of it one after the other, and only that of `keeps` has told us
  const d = await t.daemon({ options: { ...DRAIN, 'server.drain_grace': '20s', 'server.workers': 1 } });
  const keeps = await t.rawWs(d, '/v1/ws'); // holds the drain up until the test lets go of it
  await keeps.json();
  const idle = await t.raw(d);
  await idle.write('POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nx');
  d.signal('SIGTERM');
  await keeps.closeFrame();
  await refusedWith(t, a, d, { channels: ['a'] }, 503, 'draining');
  idle.destroy();
  keeps.close();
  assert.equal((await d.awaitExit()).code, 0);
});

each('a kicked client is told, and gone', async (t, a) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await open(t, a, d, { channels: [ch] });
  if (!a.can.has('live')) return; // it is not there between two polls
  const kicked = (await d.admin(`/v1/admin/kick?channel=${ch}`, 'POST')).json;
  assert.deepEqual(kicked, { kicked: 1 });
  if (a.can.has('stream')) {
    const g = await r.others.next(5000, 'goodbye');
    assert.deepEqual([g.type, g.reason, g.reconnect], ['goodbye', 'kicked', false]);
  }
  r.close();
  await until(async () => await subscribers(d, ch) === 0, 5000, 'no subscriber');
});

daemon.ends();
