// SPDX-License-Identifier: MIT
// Publishing over HTTP: content types, bytes, batches, receipts, refusals.

import { claim, shared, assert, refused, fresh, unbroken } from './lib/claim.js';
import { member, members } from './lib/envelope.js';
import { readAll, readHistory } from './lib/follow.js';

const daemon = shared({ options: { 'limits.message_bytes': '64KiB', 'http.body_bytes': '128KiB', 'http.batch_bytes': '512KiB' } });

const post = (d, ch, body, type, query = '', headers = {}) =>
  d.post(`/v1/publish?channel=${encodeURIComponent(ch)}${query}`, body, { headers: { ...(type && { 'content-type': type }), ...headers } });
const stored = async (d, ch) => readHistory(d, ch);

const latin = (s) => Buffer.from(s, 'latin1');
const b64 = (x) => JSON.stringify(Buffer.from(x).toString('base64'));

// [claim, content type, payload, raw data in the envelope, encoding, content_type shown (undefined: not checked)]
const SHOWN = [
  ['JSON is embedded byte for byte', 'application/json', '{"b": 1.0,"a":[1E5 , -0]}', '{"b": 1.0,"a":[1E5 , -0]}', undefined, null],
  ['JSON with white space around it keeps it', 'application/json', ' [1]\n', ' [1]\n', undefined, null],
  ['a JSON string is that string', 'application/json', '"a\\u0041\\/"', '"a\\u0041\\/"', undefined, null],
  ['a JSON number of any size is kept', 'application/json', '123456789012345678901234567890.5', '123456789012345678901234567890.5', undefined, null],
  ['JSON null is a message', 'application/json', 'null', 'null', undefined, null],
  ['JSON with repeated names is kept', 'application/json', '{"a":1,"a":2}', '{"a":1,"a":2}', undefined, null],
  ['pretty-printed JSON keeps its lines', 'application/json', '{\n\t"a": [\r\n 1\n]\n}', '{\n\t"a": [\r\n 1\n]\n}', undefined, null],
  ['JSON with a charset is JSON', 'application/json; charset=utf-8', '[1, 2]', '[1, 2]', undefined, undefined],
  ['the type is case-insensitive', 'Application/JSON', '[1, 2]', '[1, 2]', undefined, undefined],
  ['+json is JSON and its type travels', 'application/vnd.api+json', '{"x":  1}', '{"x":  1}', undefined, 'application/vnd.api+json'],
  ['text is a JSON string', 'text/plain', 'say "hi" \\ / \t ü 🎈', JSON.stringify('say "hi" \\ / \t ü 🎈'), undefined, null],
  ['text that looks like JSON stays text', 'text/plain', '{"a":1}', '"{\\"a\\":1}"', undefined, null],
  ['text with NUL and control characters is text', 'text/plain', 'a\0b\x01\x1f\x7f', 'a\0b\x01\x1f\x7f', undefined, null],
  ['text with U+2028 is text', 'text/plain', 'a\u2028b\u2029', 'a\u2028b\u2029', undefined, null],
  ['text with a byte order mark keeps it', 'text/plain', '\ufeffa', '\ufeffa', undefined, null],
  ['another text type travels', 'text/html', '<p>é</p>', '"<p>é</p>"', undefined, 'text/html'],
  ['text that is not UTF-8 is binary', 'text/plain', latin('caf\xe9'), b64(latin('caf\xe9')), 'base64', null],
  ['text with an encoded surrogate is binary', 'text/plain', Buffer.from([0xed, 0xa0, 0x80]), b64([0xed, 0xa0, 0x80]), 'base64', null],
  ['octets are base64', 'application/octet-stream', Buffer.from([0, 1, 254, 255]), '"AAH+/w=="', 'base64', null],
  ['octets that look like JSON are base64', 'application/octet-stream', '{"a":1}', b64('{"a":1}'), 'base64', null],
  ['an image is base64 and its type travels', 'image/png', Buffer.from([0x89, 0x50]), b64([0x89, 0x50]), 'base64', 'image/png'],
  ['without a type an object is JSON', null, '{"a" :1}', '{"a" :1}', undefined, null],
  ['without a type an array is JSON', null, '[1, 2]', '[1, 2]', undefined, null],
  ['without a type a number is text', null, '42', '"42"', undefined, null],
  ['without a type a JSON string is text', null, '"x"', '"\\"x\\""', undefined, null],
  ['without a type broken JSON is text', null, '{"a":', '"{\\"a\\":"', undefined, null],
  ['without a type words are text', null, 'hello', '"hello"', undefined, null],
  ['without a type bytes are binary', null, Buffer.from([0xff, 0xfe]), '"//4="', 'base64', null],
  ["curl's type with an object is JSON", 'application/x-www-form-urlencoded', '{"a":1}', '{"a":1}', undefined, undefined],
  ["curl's type with words is text", 'application/x-www-form-urlencoded', 'a=b&c', '"a=b&c"', undefined, undefined],
  ['empty text is a message', 'text/plain', '', '""', undefined, null],
  ['an empty payload without a type is a message', null, '', '""', undefined, null],
  ['empty octets are a message', 'application/octet-stream', '', '""', 'base64', null],
];

for (const [name, type, payload, raw, encoding, contentType] of SHOWN) {
  claim(`${name}`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    const a = await post(d, ch, payload, type);
    assert.equal(a.status, 200, a.text);
    const [m, ...more] = await stored(d, ch);
    assert.equal(more.length, 0);
    assert.equal(m.json.encoding, encoding);
    if (contentType === null) assert.equal('content_type' in m.json, false, `content_type ${m.json.content_type}`);
    else if (contentType !== undefined) assert.equal(m.json.content_type, contentType);
    const data = member(m.raw, 'data');
    const isJson = type === null || type.startsWith('application/x-www') ? encoding === undefined && !raw.startsWith('"') : /json/i.test(type);
    if (isJson) assert.ok(m.raw.endsWith(`,"data":${raw}}`), `${m.raw} does not end with the payload ${raw}`);
    else if (encoding) assert.equal(data, raw);
    else assert.equal(JSON.parse(data), payload.toString());
    const order = ['type', 'channel', 'id', 'prev', 'ts', 'content_type', 'encoding', 'data'];
    assert.deepEqual(members(m.raw).map(([n]) => n), order.filter((n) => n in m.json));
  });
}

claim('every byte value survives', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const all = Buffer.from([...Array(256).keys()]);
  await post(d, ch, all, 'application/octet-stream');
  await post(d, ch, all.subarray(0, 128), 'text/plain');
  const [a, b] = await stored(d, ch);
  assert.deepEqual(Buffer.from(a.json.data, 'base64'), all);
  assert.equal(b.json.data, all.subarray(0, 128).toString());
});

for (const body of ['', ' ', '{', '[1,]', '{"a":1,}', "{'a':1}", '{a:1}', '01', '1.', '.5', '+1', '-', '1e', 'nul', 'True', 'NaN', 'Infinity', '[1] [2]', '"a', '"\t"', '"\\x"', '"\\u12"', '// c\n1',
  '\ufeff1', '[1}', ']', '"a\0b"', '\0', latin('"\xff"'), latin('"\xc0\xaf"'), Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), '1\0', '\x0b1', '\u00a01']) {
  claim(`application/json ${JSON.stringify(body.toString('latin1')).slice(0, 40)} is refused with bad_json`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    refused(await post(d, ch, body, 'application/json'), 400, 'bad_json');
    assert.equal((await stored(d, ch)).length, 0);
  });
}

claim('JSON of 100,000 opening brackets does not break the server', async (t) => {
  const d = await daemon(t);
  const a = await post(d, fresh(), '['.repeat(60000), 'application/json');
  refused(a, 400, 'bad_json');
  const b = await post(d, fresh(), '['.repeat(30000) + ']'.repeat(30000), 'application/json');
  assert.ok([200, 400].includes(b.status));
});

claim('the receipt has its fields, in order', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const r = await d.publish(ch, 'x');
  assert.deepEqual(Object.keys(r), ['id', 'channel', 'durability', 'duplicate', 'subscribers']);
  assert.match(r.id, /^[^.]+\.\d+$/);
  assert.equal(r.channel, ch);
  assert.equal(r.durability, 'commit');
  assert.equal(r.duplicate, false);
  assert.equal(r.subscribers, 0);
});

claim('the receipt counts the subscribers of now, of all transports', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const w = await t.ws(d, `/v1/ws?channel=${ch}`);
  await w.hello();
  assert.equal((await d.publish(ch, 'x')).subscribers, 2);
});

claim('ids ascend and prev is the message before in the same channel', async (t) => {
  const d = await daemon(t);
  const [a, b] = [fresh(), fresh()];
  const ids = { [a]: [], [b]: [] };
  for (let i = 0; i < 10; i++) {
    const ch = i % 3 ? a : b;
    ids[ch].push((await d.publish(ch, `${i}`)).id);
  }
  const got = await readAll(d, [a, b]);
  unbroken(got, { first: null });
  for (const ch of [a, b]) assert.deepEqual(got.filter((m) => m.json.channel === ch).map((m) => m.json.id), ids[ch]);
});

claim('what was acknowledged can be read at once', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  for (let i = 0; i < 30; i++) {
    const { id } = await d.publish(ch, `${i}`);
    const a = await d.get(`/v1/poll?channel=${ch}&last=1`);
    assert.equal(a.json.messages[0].id, id);
  }
});

claim('PUT is the same as POST', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const a = await d.request('PUT', `/v1/publish?channel=${ch}`, { body: 'x', headers: { 'content-type': 'text/plain' } });
  assert.equal(a.status, 200);
  assert.equal((await stored(d, ch))[0].json.data, 'x');
});

claim('1,000 publishes on 20 connections are all stored once, and their receipts are right', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const ids = new Map();
  await Promise.all([...Array(20).keys()].map(async (k) => {
    const c = await t.raw(d);
    for (let i = 0; i < 50; i++) {
      const a = await c.ask('POST', `/v1/publish?channel=${ch}`, { body: `${k}.${i}`, headers: { 'Content-Type': 'text/plain' } });
      assert.equal(a.status, 200);
      ids.set(a.json.id, `${k}.${i}`);
    }
  }));
  const got = await readAll(d, [ch]);
  unbroken(got, { first: null });
  assert.equal(got.length, 1000);
  for (const m of got) assert.equal(ids.get(m.json.id), m.json.data);
});

// Batches.

claim('batch=lines makes a message of each line, in order', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const a = await post(d, ch, 'one\ntwo\r\n\nfour', 'text/plain', '&batch=lines');
  assert.equal(a.status, 200);
  assert.deepEqual(Object.keys(a.json), ['ids', 'id', 'channel', 'durability', 'duplicate', 'subscribers']);
  assert.equal(a.json.id, a.json.ids.at(-1));
  const got = await stored(d, ch);
  assert.deepEqual(got.map((m) => m.json.data), ['one', 'two', '', 'four']);
  assert.deepEqual(got.map((m) => m.json.id), a.json.ids);
  unbroken(got, { first: null });
});

claim('the last line of a batch may be ended', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  await post(d, ch, 'one\ntwo\n', 'text/plain', '&batch=lines');
  assert.deepEqual((await stored(d, ch)).map((m) => m.json.data), ['one', 'two']);
});

claim('NDJSON makes a message of each line and skips empty lines', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const a = await post(d, ch, '{"a": 1}\n\n[2,  3]\r\n\n"x"\n4', 'application/x-ndjson');
  assert.equal(a.json.ids.length, 4);
  const got = await stored(d, ch);
  assert.deepEqual(got.map((m) => member(m.raw, 'data')), ['{"a": 1}', '[2,  3]', '"x"', '4']);
  assert.equal('content_type' in got[0].json, false);
});

claim('batch=lines with a JSON type needs JSON lines', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  assert.equal((await post(d, ch, '1\n[2]', 'application/json', '&batch=lines')).status, 200);
  assert.deepEqual((await stored(d, ch)).map((m) => m.json.data), [1, [2]]);
});

claim('batch=array makes a message of each element, byte for byte', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const a = await post(d, ch, ' [ {"a": [1, 2]} ,"x,]",\n3.50, null,[] ] ', 'application/json', '&batch=array');
  assert.equal(a.status, 200, a.text);
  const got = await stored(d, ch);
  assert.deepEqual(got.map((m) => member(m.raw, 'data')), ['{"a": [1, 2]}', '"x,]"', '3.50', 'null', '[]']);
});

for (const [name, body, type, q, status, code] of [
  ['a broken line of NDJSON', '1\n2\n{"a":\n4', 'application/x-ndjson', '', 400, 'bad_json'],
  ['a broken element', '[1,2,{"a":]', 'application/json', '&batch=array', 400, 'bad_json'],
  ['an array that does not end', '[1,2', 'application/json', '&batch=array', 400, 'bad_json'],
  ['an object instead of an array', '{"a":1}', 'application/json', '&batch=array', 400, ['bad_json', 'bad_request']],
  ['something after the array', '[1] 2', 'application/json', '&batch=array', 400, 'bad_json'],
  ['one line above the limit', `ok\n${'x'.repeat(70000)}\nok`, 'text/plain', '&batch=lines', 413, 'too_large'],
]) {
  claim(`a batch with ${name} is refused as a whole`, async (t) => {
    const d = await daemon(t);
    const ch = fresh();
    refused(await post(d, ch, body, type, q), status, code);
    assert.equal((await stored(d, ch)).length, 0);
  });
}

claim('a batch larger than one body limit is taken up to the batch limit', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const line = 'x'.repeat(999);
  assert.equal((await post(d, ch, `${line}\n`.repeat(400), 'text/plain', '&batch=lines')).status, 200);
  assert.equal((await stored(d, ch)).length, 400);
  refused(await post(d, ch, `${line}\n`.repeat(600), 'text/plain', '&batch=lines'), 413, 'too_large');
});

claim('a batch is seen by subscribers whole and in order', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const a = await post(d, ch, [...Array(100).keys()].join('\n'), 'text/plain', '&batch=lines');
  assert.equal(a.json.subscribers, 1);
  assert.deepEqual((await s.messages(100)).map((m) => m.id), a.json.ids);
});

claim('a batch may be ephemeral', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const s = await t.sse(d, `/v1/sse?channel=${ch}`);
  await s.hello();
  const a = await post(d, ch, 'a\nb', 'text/plain', '&batch=lines&ephemeral=1');
  assert.equal(a.status, 200);
  assert.equal(a.json.id, null);
  assert.deepEqual((await s.messages(2)).map((m) => m.json.data), ['a', 'b']);
  assert.equal((await stored(d, ch)).length, 0);
});

// Ephemeral.

claim('an ephemeral message is delivered, not stored, and its receipt has no id', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await t.ws(d, `/v1/ws?channel=${ch}`);
  await w.hello();
  const r = await d.publish(ch, 'x', { query: '&ephemeral=1' });
  assert.deepEqual(r, { id: null, channel: ch, durability: 'ephemeral', duplicate: false, subscribers: 1 });
  const m = await w.message();
  assert.deepEqual(members(m.raw).map(([n]) => n), ['type', 'channel', 'ts', 'data']);
  assert.equal((await stored(d, ch)).length, 0);
});

claim('ephemeral and stored messages of one publisher keep their order', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const w = await t.ws(d, `/v1/ws?channel=${ch}`);
  await w.hello();
  for (let i = 0; i < 40; i++) await d.publish(ch, `${i}`, { query: i % 2 ? '&ephemeral=1' : '' });
  assert.deepEqual((await w.messages(40)).map((m) => Number(m.json.data)), [...Array(40).keys()]);
});

// Refusals.

for (const [name, target, headers, status, code] of [
  ['without a channel', '/v1/publish', {}, 400, 'no_channel'],
  ['with two channels', '/v1/publish?channel=a&channel=b', {}, 400, ['bad_parameter', 'too_many_channels', 'bad_channel']],
  ['to an empty channel', '/v1/publish?channel=', {}, 400, ['bad_channel', 'no_channel']],
  ['to a channel with a space', '/v1/publish?channel=a%20b', {}, 400, 'bad_channel'],
  ['to a channel with an asterisk', '/v1/publish?channel=a*', {}, 400, 'bad_channel'],
  ['to a channel with a control character', '/v1/publish?channel=a%07', {}, 400, 'bad_channel'],
  ['to a channel that is not ASCII', '/v1/publish?channel=%C3%BC', {}, 400, 'bad_channel'],
  ['to a channel of 256 bytes', `/v1/publish?channel=${'a'.repeat(256)}`, {}, 400, 'bad_channel'],
  ['with ephemeral=maybe', '/v1/publish?channel=a&ephemeral=maybe', {}, 400, 'bad_parameter'],
  ['with batch=tar', '/v1/publish?channel=a&batch=tar', {}, 400, 'bad_parameter'],
  ['with ttl=0', '/v1/publish?channel=a&ttl=0', {}, 400, 'bad_parameter'],
  ['with ttl=soon', '/v1/publish?channel=a&ttl=soon', {}, 400, 'bad_parameter'],
  ['with an empty Idempotency-Key', '/v1/publish?channel=a', { 'Idempotency-Key': '' }, 400, 'bad_parameter'],
]) {
  claim(`a publish ${name} is refused`, async (t) => {
    refused(await (await daemon(t)).post(target, 'x', { headers }), status, code);
  });
}

claim('a message above the limit is refused with 413, one at the limit is taken', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  refused(await post(d, ch, 'x'.repeat(65537), 'text/plain'), 413, 'too_large');
  assert.equal((await post(d, ch, 'x'.repeat(65536), 'text/plain')).status, 200);
  assert.equal((await stored(d, ch))[0].json.data.length, 65536);
});

claim('a very long content type is refused or kept, never cut', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const type = `application/x-${'t'.repeat(1000)}`;
  const a = await post(d, ch, 'x', type);
  if (a.status === 200) assert.equal((await stored(d, ch))[0].json.content_type, type);
  else assert.equal(a.status, 400);
});

claim('a content type with odd bytes is refused or shown as valid JSON', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const c = await t.raw(d);
  await c.write(latin(`POST /v1/publish?channel=${ch} HTTP/1.1\r\nHost: h\r\nContent-Type: a/b;x="\xe9\\"\r\nContent-Length: 1\r\n\r\nx`));
  assert.ok([200, 400].includes((await c.response()).status));
  await stored(d, ch);
});

claim('history pages with since and limit', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const { ids } = (await post(d, ch, [...Array(25).keys()].join('\n'), 'text/plain', '&batch=lines')).json;
  const a = (await d.get(`/v1/history?channel=${ch}&limit=10`)).json;
  assert.deepEqual(Object.keys(a), ['channel', 'cursor', 'messages', 'more']);
  assert.deepEqual(a.messages.map((m) => m.id), ids.slice(0, 10));
  assert.equal(a.more, true);
  const b = (await d.get(`/v1/history?channel=${ch}&limit=15&since=${a.cursor}`)).json;
  assert.deepEqual(b.messages.map((m) => m.id), ids.slice(10));
  assert.equal(b.more, false);
  const c = (await d.get(`/v1/history?channel=${ch}&last=3`)).json;
  assert.deepEqual(c.messages.map((m) => m.id), ids.slice(22));
  assert.deepEqual((await d.get(`/v1/history?channel=${ch}&since=${b.cursor}`)).json.messages, []);
});

claim('history tells gaps', async (t) => {
  const d = await daemon(t);
  const ch = fresh();
  const { id } = await d.publish(ch, 'x');
  const a = (await d.get(`/v1/history?channel=${ch}&since=other.7`)).json;
  assert.equal(a.gaps[0].reason, 'epoch');
  assert.deepEqual(a.messages.map((m) => m.id), [id]);
});

for (const [q, code] of [['', 'no_channel'], ['channel=a&limit=x', 'bad_parameter'], ['channel=a&limit=-1', 'bad_parameter'], ['channel=a&last=x', 'bad_parameter'], ['channel=a%20', 'bad_channel']]) {
  claim(`/v1/history?${q} is refused with ${code}`, async (t) => {
    refused(await (await daemon(t)).get(`/v1/history?${q}`), 400, code);
  });
}

claim('info names the server, its protocol, epoch, transports and limits', async (t) => {
  const i = (await (await daemon(t)).get('/v1/info')).json;
  assert.equal(i.name, 'holdfast');
  assert.equal(i.protocol, 1);
  assert.ok(i.version && i.epoch);
  assert.deepEqual(i.transports, ['websocket', 'sse', 'longpoll', 'shortpoll']);
  const limits = { channel_bytes: 255, message_bytes: 65536, channels: 256, request_bytes: 131072, poll_wait: 60, history_limit: 1000 };
  assert.deepEqual({ ...i.limits, ...limits }, i.limits);
});

daemon.ends();
