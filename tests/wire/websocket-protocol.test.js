// SPDX-License-Identifier: MIT
// RFC 6455, frame by frame.

import { claim, shared, assert, refused } from './lib/claim.js';
import { frame, closePayload, OP } from './lib/ws.js';

const daemon = shared({ options: { 'websocket.message_bytes': '64KiB', 'limits.message_bytes': '48KiB', 'websocket.fragments': 100, 'websocket.close_timeout': '500ms', 'http.linger': '300ms' } });

const open = async (t) => {
  const w = await t.rawWs(await daemon(t));
  assert.equal((await w.json()).type, 'hello');
  return w;
};
const ping = '{"type":"ping"}';
const half = [Buffer.from('{"type":'), Buffer.from('"ping"}')];

// The server says close with this code, then ends the TCP connection first.
async function closes(w, code) {
  const f = await w.closeFrame();
  assert.equal(f.code, code, `reason "${f.reason}"`);
  assert.doesNotThrow(() => new TextDecoder('utf-8', { fatal: true }).decode(f.payload.subarray(2)));
  await w.eof(4000);
}

const ILLEGAL = [
  ['5.1 a frame without a mask', 1002, () => frame(OP.text, ping, { mask: null })],
  ['5.1 an empty frame without a mask', 1002, () => frame(OP.text, '', { mask: null })],
  ['5.1 a ping without a mask', 1002, () => frame(OP.ping, '', { mask: null })],
  ...[1, 2, 4, 7].map((rsv) => [`5.2 reserved bits ${rsv}`, 1002, () => frame(OP.text, ping, { rsv })]),
  ['5.2 a reserved bit on a ping', 1002, () => frame(OP.ping, '', { rsv: 4 })],
  ['5.2 a reserved bit on a continuation', 1002, () => Buffer.concat([frame(OP.text, half[0], { fin: false }), frame(OP.cont, half[1], { rsv: 2 })])],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((op) => [`5.2 reserved opcode ${op}`, 1002, () => frame(op, '')]),
  ['5.2 a 16-bit length that needs 7 bits', 1002, () => frame(OP.text, ping, { length: 16 })],
  ['5.2 a 64-bit length that needs 7 bits', 1002, () => frame(OP.text, ping, { length: 64 })],
  ['5.2 a 64-bit length that needs 16 bits', 1002, () => frame(OP.text, `{"type":"ping","pad":"${'p'.repeat(300)}"}`, { length: 64 })],
  ['5.2 a 64-bit length with the top bit', 1002, () => Buffer.from('81ff8000000000000001' + '00000000', 'hex')],
  ['5.4 a continuation of nothing', 1002, () => frame(OP.cont, ping)],
  ['5.4 an unfinished continuation of nothing', 1002, () => frame(OP.cont, ping, { fin: false })],
  ['5.4 a continuation after a finished message', 1002, () => Buffer.concat([frame(OP.text, ping), frame(OP.cont, '')])],
  ['5.4 a new text message inside a fragmented one', 1002, () => Buffer.concat([frame(OP.text, half[0], { fin: false }), frame(OP.text, ping)])],
  ['5.4 a new binary message inside a fragmented one', 1002, () => Buffer.concat([frame(OP.text, half[0], { fin: false }), frame(OP.binary, 'x')])],
  ['5.5 a fragmented ping', 1002, () => frame(OP.ping, 'x', { fin: false })],
  ['5.5 a fragmented close', 1002, () => frame(OP.close, closePayload(1000), { fin: false })],
  ['5.5 a ping of 126 bytes', 1002, () => frame(OP.ping, 'p'.repeat(126))],
  ['5.5 a pong of 126 bytes', 1002, () => frame(OP.pong, 'p'.repeat(126))],
  ['5.5 a close of 126 bytes', 1002, () => frame(OP.close, closePayload(1000, 'p'.repeat(124)))],
  ['5.5 a ping with a 16-bit length', 1002, () => frame(OP.ping, 'p', { length: 16 })],
  ['5.5.1 a close of one byte', 1002, () => frame(OP.close, 'x')],
  ['5.5.1 a close reason that is not UTF-8', 1007, () => frame(OP.close, Buffer.concat([closePayload(1000), Buffer.from([0xce, 0xba, 0xe1, 0xbd, 0xb9, 0xcf, 0x83, 0xce, 0xbc, 0xce, 0xb5, 0xed, 0xa0, 0x80])]))],
  ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535].map((code) => [`7.4 close code ${code}`, 1002, () => frame(OP.close, closePayload(code))]),
  ['8.1 text that is not UTF-8', 1007, () => frame(OP.text, Buffer.from([0x22, 0xff, 0x22]))],
  ['8.1 an overlong sequence', 1007, () => frame(OP.text, Buffer.from([0x22, 0xc0, 0xaf, 0x22]))],
  ['8.1 a surrogate', 1007, () => frame(OP.text, Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))],
  ['8.1 a code point above U+10FFFF', 1007, () => frame(OP.text, Buffer.from([0x22, 0xf4, 0x90, 0x80, 0x80, 0x22]))],
  ['8.1 a sequence that ends with the message', 1007, () => frame(OP.text, Buffer.from([0x22, 0xe2, 0x82]))],
  ['8.1 a sequence that ends with the last fragment', 1007, () => Buffer.concat([frame(OP.text, '"', { fin: false }), frame(OP.cont, Buffer.from([0xe2, 0x82]))])],
  ['8.1 a sequence broken across fragments', 1007, () => Buffer.concat([frame(OP.text, Buffer.from([0x22, 0xe2]), { fin: false }), frame(OP.cont, Buffer.from([0x22]), { fin: false })])],
  ['8.1 bad UTF-8 in a fragment before the last', 1007, () => frame(OP.text, Buffer.from([0x22, 0xff]), { fin: false })],
];

for (const [name, code, bytes] of ILLEGAL) {
  claim(`${name} is closed with ${code}`, async (t) => {
    const w = await open(t);
    await w.write(bytes());
    await closes(w, code);
  });
}

claim('8.1 bad UTF-8 is noticed at its first byte inside an unfinished frame', async (t) => {
  const w = await open(t);
  const whole = frame(OP.text, Buffer.concat([Buffer.from('"abc'), Buffer.from([0xff]), Buffer.alloc(200, 'x'), Buffer.from('"')]));
  await w.write(whole.subarray(0, 8 + 5)); // head of 4, mask of 4, then up to the bad byte; the rest is never sent
  await closes(w, 1007);
});

claim('a reserved opcode is noticed before the payload comes', async (t) => {
  const w = await open(t);
  await w.write(frame(3, 'x'.repeat(1000)).subarray(0, 8));
  await closes(w, 1002);
});

claim('a length above the limit is refused before the payload comes', async (t) => {
  const w = await open(t);
  await w.write(frame(OP.text, Buffer.alloc(70000, 'x')).subarray(0, 14));
  await closes(w, 1009);
});

for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]) {
  claim(`close code ${code} is legal and answered with itself`, async (t) => {
    const w = await open(t);
    await w.send(OP.close, closePayload(code, 'bye ü'));
    await closes(w, code);
  });
}

claim('a close without a code is answered, and the server ends the connection first', async (t) => {
  const w = await open(t);
  await w.send(OP.close, '');
  const f = await w.closeFrame();
  assert.ok(f.code === undefined || f.code === 1000, `code ${f.code}`);
  await w.eof();
});

claim('a close with a reason of 123 bytes is legal', async (t) => {
  const w = await open(t);
  await w.send(OP.close, closePayload(1000, 'r'.repeat(123)));
  await closes(w, 1000);
});

claim('nothing after a close frame is answered', async (t) => {
  const w = await open(t);
  await w.write(Buffer.concat([frame(OP.close, closePayload(1000)), frame(OP.text, ping), frame(OP.ping, 'x')]));
  await closes(w, 1000);
});

claim('a message in one-byte fragments is put together', async (t) => {
  const w = await open(t);
  const text = '{"type":"ping","ref":"é🎈"}';
  const bytes = Buffer.from(text);
  const parts = [...bytes].map((b, i) => frame(i ? OP.cont : OP.text, Buffer.from([b]), { fin: i === bytes.length - 1 }));
  await w.write(Buffer.concat(parts));
  assert.equal((await w.json()).ref, 'é🎈');
});

claim('empty fragments are legal', async (t) => {
  const w = await open(t);
  await w.write(Buffer.concat([frame(OP.text, '', { fin: false }), frame(OP.cont, '', { fin: false }), frame(OP.cont, ping, { fin: false }), frame(OP.cont, '')]));
  assert.equal((await w.json()).type, 'pong');
});

claim('control frames between fragments are answered at once', async (t) => {
  const w = await open(t);
  await w.write(Buffer.concat([frame(OP.text, half[0], { fin: false }), frame(OP.ping, 'one')]));
  const pong = await w.next();
  assert.equal(pong.opcode, OP.pong);
  assert.equal(pong.text, 'one');
  await w.write(Buffer.concat([frame(OP.pong, 'unasked'), frame(OP.ping, ''), frame(OP.cont, half[1])]));
  assert.equal((await w.next()).opcode, OP.pong);
  assert.equal((await w.json()).type, 'pong');
});

claim('a close between fragments ends the connection', async (t) => {
  const w = await open(t);
  await w.write(Buffer.concat([frame(OP.text, half[0], { fin: false }), frame(OP.close, closePayload(1001))]));
  await closes(w, 1001);
});

claim('a ping is answered with its payload up to 125 bytes', async (t) => {
  const w = await open(t);
  for (const payload of ['', 'x', Buffer.from([0, 255, 128]), 'p'.repeat(125)]) {
    await w.send(OP.ping, payload);
    const f = await w.next();
    assert.equal(f.opcode, OP.pong);
    assert.deepEqual(f.payload, Buffer.from(payload));
  }
});

claim('pings in one packet are answered in order, or only the last as the RFC allows', async (t) => {
  const w = await open(t);
  await w.write(Buffer.concat([...Array(20).keys()].map((i) => frame(OP.ping, `${i}`))));
  let last = -1;
  while (last < 19) {
    const f = await w.next();
    assert.equal(f.opcode, OP.pong);
    assert.ok(Number(f.text) > last);
    last = Number(f.text);
  }
});

claim('an unsolicited pong is ignored', async (t) => {
  const w = await open(t);
  await w.send(OP.pong, 'hello?');
  await w.send(OP.text, ping);
  assert.equal((await w.json()).type, 'pong');
});

claim('frames that arrive one byte at a time are understood', async (t) => {
  const w = await open(t);
  const bytes = Buffer.concat([frame(OP.text, half[0], { fin: false }), frame(OP.ping, 'p'), frame(OP.cont, half[1])]);
  for (const b of bytes) await w.write(Buffer.from([b]));
  assert.equal((await w.next()).opcode, OP.pong);
  assert.equal((await w.json()).type, 'pong');
});

claim('many frames in one packet are all answered, in order', async (t) => {
  const w = await open(t);
  await w.write(Buffer.concat([...Array(200).keys()].map((i) => frame(OP.text, `{"type":"ping","ref":${i}}`))));
  for (let i = 0; i < 200; i++) assert.equal((await w.json()).ref, i);
});

claim('each mask is undone', async (t) => {
  const w = await open(t);
  for (const mask of ['00000000', 'ffffffff', '01020304', '80808080']) {
    await w.send(OP.text, ping, { mask: Buffer.from(mask, 'hex') });
    assert.equal((await w.json()).type, 'pong');
  }
});

claim('lengths at the edges of their encodings are understood', async (t) => {
  const w = await open(t);
  for (const n of [125, 126, 127, 255, 256, 65535, 65536]) {
    const text = `{"type":"ping","ref":${n},"pad":"`;
    await w.send(OP.text, `${text}${'p'.repeat(n - text.length - 2)}"}`);
    assert.equal((await w.json()).ref, n);
  }
});

claim('a message above the limit is closed with 1009', async (t) => {
  const w = await open(t);
  await w.send(OP.text, Buffer.alloc(65537, 'x'));
  await closes(w, 1009);
});

claim('fragments that are together above the limit are closed with 1009', async (t) => {
  const w = await open(t);
  await w.send(OP.text, Buffer.alloc(40000, 'x'), { fin: false });
  await w.send(OP.cont, Buffer.alloc(40000, 'x'), { fin: false });
  await closes(w, 1009);
});

claim('more fragments than the limit are closed with 1009', async (t) => {
  const w = await open(t);
  await w.write(Buffer.concat([...Array(101).keys()].map((i) => frame(i ? OP.cont : OP.text, 'x', { fin: false }))));
  await closes(w, 1009);
});

claim('as many fragments as the limit are served', async (t) => {
  const w = await open(t);
  const bytes = Buffer.from(`{"type":"ping","pad":"${'p'.repeat(100)}"}`);
  const parts = [...Array(100).keys()].map((i) => frame(i ? OP.cont : OP.text, i < 99 ? bytes.subarray(i, i + 1) : bytes.subarray(99), { fin: i === 99 }));
  await w.write(Buffer.concat(parts));
  assert.equal((await w.json()).type, 'pong');
});

claim('a message of 16 MiB in 65,536 fragments is served when it is configured', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options: { 'websocket.message_bytes': '20MiB', 'websocket.fragments': 65536, 'limits.message_bytes': '16MiB', 'http.body_bytes': '20MiB', 'http.batch_bytes': '20MiB' } });
  const w = await t.rawWs(d);
  await w.json();
  const start = '{"type":"publish","ref":1,"channel":"big","data":"';
  const bytes = Buffer.from(`${start}${'x'.repeat((16 << 20) - start.length - 2)}"}`);
  const parts = [];
  for (let i = 0; i < 65536; i++) parts.push(frame(i ? OP.cont : OP.text, bytes.subarray(i * 256, (i + 1) * 256), { fin: i === 65535 }));
  w.write(Buffer.concat(parts));
  let f;
  do f = await w.next(30000); while (f.opcode !== OP.text);
  assert.equal(JSON.parse(f.text).type, 'ok', f.text.slice(0, 200));
  const a = await d.get('/v1/history?channel=big', { ms: 30000 });
  assert.equal(a.json.messages[0].data.length, (16 << 20) - start.length - 2);
});

claim('a message of 16 MiB in one frame is served when it is configured', { ms: 40000 }, async (t) => {
  const d = await t.daemon({ options: { 'websocket.message_bytes': '20MiB', 'limits.message_bytes': '16MiB', 'http.body_bytes': '20MiB', 'http.batch_bytes': '20MiB', 'limits.out_queue_bytes': '64MiB' } });
  const w = await t.rawWs(d, '/v1/ws?channel=big&format=raw');
  const payload = Buffer.alloc(16 << 20, 'abc');
  w.send(OP.binary, payload);
  let f, got = [];
  do {
    f = await w.next(30000);
    if (f.opcode < 8) got.push(f.payload);
  } while (!f.fin || f.opcode >= 8);
  assert.ok(Buffer.concat(got).equals(payload));
});

claim('a client that does not answer a close is cut off', async (t) => {
  const w = await open(t);
  await w.send(OP.text, Buffer.from([0xff]));
  assert.equal((await w.closeFrame()).code, 1007);
  await w.raw.rest(4000);
});

claim('300 connections that are reset inside a frame are all forgotten', async (t) => {
  const d = await t.daemon(); // heartbeats are far away: only the reset itself can tell
  for (let i = 0; i < 300; i++) {
    const w = await t.rawWs(d);
    await w.json();
    w.write(frame(OP.text, 'x'.repeat(1000)).subarray(0, 100));
    w.raw.reset();
  }
  await d.untilMetric('holdfast_sessions{transport="websocket"}', (n) => n === 0);
});

// Handshakes.
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const GOOD = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '13' };
const without = (name) => Object.fromEntries(Object.entries(GOOD).filter(([k]) => k !== name));

claim('4.2.2 the accept key is that of the RFC', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('GET', '/v1/ws', { headers: GOOD });
  assert.equal(a.status, 101);
  assert.equal(a.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  assert.match(a.headers.upgrade, /^websocket$/i);
  assert.match(a.headers.connection, /upgrade/i);
  assert.equal(a.headers['content-length'], undefined);
  assert.equal(a.headers['transfer-encoding'], undefined);
});

for (const headers of [{ ...GOOD, Connection: 'keep-alive, Upgrade' }, { ...GOOD, Upgrade: 'WebSocket' }, { ...GOOD, Connection: 'upgrade' }]) {
  claim(`a handshake with Connection: ${headers.Connection}, Upgrade: ${headers.Upgrade} is accepted`, async (t) => {
    assert.equal((await (await t.raw(await daemon(t))).ask('GET', '/v1/ws', { headers })).status, 101);
  });
}

for (const version of ['12', '14', '0', '8', '', 'x', '13, 8']) {
  claim(`4.4 Sec-WebSocket-Version: ${version} is answered with 426 and the version that is served`, async (t) => {
    const c = await t.raw(await daemon(t));
    const a = await c.ask('GET', '/v1/ws', { headers: { ...GOOD, 'Sec-WebSocket-Version': version } });
    refused(a, 426, 'upgrade_required');
    assert.equal(a.headers['sec-websocket-version'], '13');
  });
}

for (const [name, headers, code] of [
  ['no key', without('Sec-WebSocket-Key'), 'bad_handshake'],
  ['a key of 15 bytes', { ...GOOD, 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') }, 'bad_handshake'],
  ['a key that is no base64', { ...GOOD, 'Sec-WebSocket-Key': '!!!!!!!!!!!!!!!!!!!!!!==' }, 'bad_handshake'],
  ['an empty key', { ...GOOD, 'Sec-WebSocket-Key': '' }, 'bad_handshake'],
  ['no Upgrade', without('Upgrade'), ['bad_handshake', 'upgrade_required']],
  ['no Connection', without('Connection'), ['bad_handshake', 'upgrade_required']],
  ['another Upgrade', { ...GOOD, Upgrade: 'h2c' }, ['bad_handshake', 'upgrade_required']],
]) {
  claim(`a handshake with ${name} is refused`, async (t) => {
    const c = await t.raw(await daemon(t));
    const a = await c.ask('GET', '/v1/ws', { headers });
    assert.ok(a.status === 400 || a.status === 426, `status ${a.status}`);
    refused(a, a.status, code);
  });
}

claim('4.2.1 a handshake in HTTP/1.0 is refused', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('GET', '/v1/ws', { headers: GOOD, version: '1.0' });
  assert.ok(a.status === 400 || a.status === 426, `status ${a.status}`);
});

claim('4.1 a handshake with POST is refused', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('POST', '/v1/ws', { headers: GOOD, body: '' });
  assert.ok(a.status === 400 || a.status === 405, `status ${a.status}`);
});

claim('an Upgrade on another path is answered as if it was not there', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('GET', '/healthz', { headers: GOOD });
  assert.equal(a.status, 200);
  assert.equal((await c.ask('GET', '/healthz')).status, 200);
});

claim('a refused handshake leaves the connection in step or closed', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('GET', '/v1/ws', { headers: { ...GOOD, 'Sec-WebSocket-Version': '8' } });
  assert.equal(a.status, 426);
  if (/close/i.test(a.headers.connection ?? '')) await c.eof();
  else assert.equal((await c.ask('GET', '/healthz')).status, 200);
});

daemon.ends();
