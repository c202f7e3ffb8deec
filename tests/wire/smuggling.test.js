// SPDX-License-Identifier: MIT
// What requests are smuggled with. Every case is answered explicitly with a 4xx or 5xx in JSON, the connection is closed, and the
// request that hides behind it is not answered.

import { claim, shared, assert } from './lib/claim.js';

const daemon = shared();
const SECOND = 'GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n';
const head = (lines, start = 'POST /v1/publish?channel=a HTTP/1.1') => `${start}\r\n${['Host: h', ...lines].join('\r\n')}\r\n\r\n`;
const get = (lines) => head(lines, 'GET /healthz HTTP/1.1');
const chunked = (body) => head(['Transfer-Encoding: chunked']) + body;

const CASES = [
  // Both lengths.
  ['Content-Length and Transfer-Encoding', head(['Content-Length: 5', 'Transfer-Encoding: chunked']) + '0\r\n\r\n'],
  ['Transfer-Encoding and Content-Length', head(['Transfer-Encoding: chunked', 'Content-Length: 5']) + '0\r\n\r\n'],
  ['Content-Length: 0 and Transfer-Encoding', head(['Content-Length: 0', 'Transfer-Encoding: chunked']) + '0\r\n\r\n'],
  // Content-Length.
  ['two different Content-Lengths', head(['Content-Length: 3', 'Content-Length: 4']) + 'abcd'],
  ['two equal Content-Lengths', head(['Content-Length: 3', 'Content-Length: 3']) + 'abc'],
  ['a list of Content-Lengths', head(['Content-Length: 3, 3']) + 'abc'],
  ...['+3', '-3', '0x3', '3 3', '3a', '1e1', '3;', '"3"', '', ' ', '3\t3', '٣', '99999999999999999999999', '18446744073709551619', '9223372036854775808']
    .map((v) => [`Content-Length: ${JSON.stringify(v)}`, head([`Content-Length: ${v}`]) + 'abc']),
  // Transfer-Encoding.
  ...['chunked, identity', 'identity', 'identity, chunked', 'gzip, chunked', 'gzip', 'chunked, chunked', 'xchunked', 'chunkedx', 'chunked;q=1',
    '"chunked"', '\x0bchunked', 'chunked\x0b', 'chunk', ',chunked', 'chunked,', 'cow', '', 'chunked chunked']
    .map((v) => [`Transfer-Encoding: ${JSON.stringify(v)}`, head([`Transfer-Encoding: ${v}`]) + '0\r\n\r\n']),
  ['Transfer-Encoding twice', head(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']) + '0\r\n\r\n'],
  ['Transfer-Encoding chunked, then identity', head(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity']) + '0\r\n\r\n'],
  ['Transfer-Encoding gzip, then chunked', head(['Transfer-Encoding: gzip', 'Transfer-Encoding: chunked']) + '0\r\n\r\n'],
  ['Transfer-Encoding in HTTP/1.0', head(['Transfer-Encoding: chunked'], 'POST /v1/publish?channel=a HTTP/1.0') + '0\r\n\r\n'],
  // White space and lines.
  ['white space before the colon', get(['X-A : b'])],
  ['a tab before the colon', get(['X-A\t: b'])],
  ['Content-Length with a space before the colon', head(['Content-Length : 3']) + 'abc'],
  ['Transfer-Encoding with a space before the colon', head(['Transfer-Encoding : chunked']) + '0\r\n\r\n'],
  ['obs-fold with a space', get(['X-A: b', ' c'])],
  ['obs-fold with a tab', get(['X-A: b', '\tc'])],
  ['obs-fold that hides Transfer-Encoding', head(['X-A: b', ' Transfer-Encoding: chunked']) + '0\r\n\r\n'],
  ['a folded Transfer-Encoding', head(['Transfer-Encoding:', ' chunked']) + '0\r\n\r\n'],
  ['white space before the first header', 'GET /healthz HTTP/1.1\r\n Host: h\r\n\r\n'],
  ['a bare LF after a header', 'GET /healthz HTTP/1.1\r\nHost: h\nX-A: b\r\n\r\n'],
  ['a bare LF after the request line', 'GET /healthz HTTP/1.1\nHost: h\r\n\r\n'],
  ['bare LFs only', 'GET /healthz HTTP/1.1\nHost: h\n\n'],
  ['a bare LF as the empty line', 'GET /healthz HTTP/1.1\r\nHost: h\r\n\n'],
  ['a bare CR in a header value', get(['X-A: b\rc'])],
  ['a bare CR that hides a header', get(['X-A: b\rContent-Length: 30'])],
  ['a bare CR after the request line', 'GET /healthz HTTP/1.1\rHost: h\r\n\r\n'],
  ['CR CR LF', 'GET /healthz HTTP/1.1\r\nHost: h\r\r\n\r\n'],
  ['a bare CR in the request target', 'GET /heal\rthz HTTP/1.1\r\nHost: h\r\n\r\n'],
  // Host.
  ['no Host', 'GET /healthz HTTP/1.1\r\n\r\n'],
  ['two Hosts', 'GET /healthz HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n'],
  ['two equal Hosts', 'GET /healthz HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n'],
  ...['a b', 'a@b', 'a/b', 'a\\b', 'a#b', 'a?b', 'h:80:90', 'h:port', 'http://h'].map((v) => [`Host: ${v}`, `GET /healthz HTTP/1.1\r\nHost: ${v}\r\n\r\n`]),
  // The request line.
  ['an absolute-form target of another host', 'GET http://evil.example/healthz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['an authority-form target', 'CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a target without a slash', 'GET healthz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['an asterisk target with GET', 'GET * HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['no target', 'GET HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a space in the target', 'GET /healthz x HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a tab as separator', 'GET\t/healthz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a fragment in the target', 'GET /healthz#x HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a NUL in the target', 'GET /heal\0thz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['%00 in the path', 'GET /healthz%00 HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a control character in the target', 'GET /heal\x01thz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a byte above 127 in the target', 'GET /heal\xffthz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['no version', 'GET /healthz\r\nHost: h\r\n\r\n'],
  ['a version in lower case', 'GET /healthz http/1.1\r\nHost: h\r\n\r\n'],
  ['a version with more digits', 'GET /healthz HTTP/1.10\r\nHost: h\r\n\r\n'],
  ['a version with something after it', 'GET /healthz HTTP/1.1x\r\nHost: h\r\n\r\n'],
  ['another protocol', 'GET /healthz ICY/1.1\r\nHost: h\r\n\r\n'],
  ['a space before the method', ' GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a method with a bad character', 'G(T /healthz HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
  // Header names and values.
  ['a NUL in a header value', get(['X-A: b\0c'])],
  ['a NUL in a header name', get(['X\0A: b'])],
  ['a control character in a header value', get(['X-A: b\x01c'])],
  ['DEL in a header value', get(['X-A: b\x7fc'])],
  ['a header without a colon', get(['X-A'])],
  ['a header without a name', get([': b'])],
  ['a space in a header name', get(['X A: b'])],
  ['a parenthesis in a header name', get(['X(A: b'])],
  ['a byte above 127 in a header name', get(['X\xffA: b'])],
  // Chunks.
  ['a chunk size that is no number', chunked('zz\r\nabc\r\n0\r\n\r\n')],
  ['an empty chunk size', chunked('\r\nabc\r\n0\r\n\r\n')],
  ['a chunk size with a sign', chunked('+3\r\nabc\r\n0\r\n\r\n')],
  ['a negative chunk size', chunked('-3\r\nabc\r\n0\r\n\r\n')],
  ['a chunk size with 0x', chunked('0x3\r\nabc\r\n0\r\n\r\n')],
  ['a space before the chunk size', chunked(' 3\r\nabc\r\n0\r\n\r\n')],
  ['a space after the chunk size', chunked('3 \r\nabc\r\n0\r\n\r\n')],
  ['a chunk size of 17 digits', chunked('11111111111111111\r\nabc\r\n0\r\n\r\n')],
  ['a chunk size that overflows', chunked('ffffffffffffffff\r\nabc\r\n0\r\n\r\n')],
  ['a bare LF after the chunk size', chunked('3\nabc\r\n0\r\n\r\n')],
  ['a bare CR after the chunk size', chunked('3\rabc\r\n0\r\n\r\n')],
  ['a chunk longer than its size', chunked('3\r\nabcd\r\n0\r\n\r\n')],
  ['a chunk without its line end', chunked('3\r\nabc0\r\n\r\n')],
  ['a bare LF after a chunk', chunked('3\r\nabc\n0\r\n\r\n')],
  ['a bare LF in a chunk extension', chunked('3;a\nb\r\nabc\r\n0\r\n\r\n')],
  ['a NUL in a chunk extension', chunked('3;a\0b\r\nabc\r\n0\r\n\r\n')],
  ['a bare LF after the last chunk', chunked('3\r\nabc\r\n0\n\r\n')],
  ['a bare LF after a trailer', chunked('0\r\nX-A: b\n\r\n')],
  ['a trailer with a space before the colon', chunked('0\r\nX-A : b\r\n\r\n')],
  ['a folded trailer', chunked('0\r\nX-A: b\r\n c\r\n\r\n')],
];

for (const [name, bytes] of CASES) {
  claim(`${name}: refused, closed, nothing after it answered`, { ms: 8000 }, async (t) => {
    const c = await t.raw(await daemon(t));
    c.write(Buffer.from(bytes + SECOND, 'latin1'));
    const a = await c.response({ ms: 4000 });
    assert.ok(a.status >= 400 && a.status <= 599, `status ${a.status}: ${a.text.slice(0, 200)}`);
    assert.match(a.headers['content-type'], /^application\/json/);
    assert.equal(typeof a.json.error.code, 'string');
    assert.equal(typeof a.json.error.message, 'string');
    await c.eof(4000);
  });
}

claim('an unknown transfer coding is 501, the others are 400', async (t) => {
  const d = await daemon(t);
  const ask = async (bytes) => {
    const c = await t.raw(d);
    c.write(bytes);
    return c.response();
  };
  assert.equal((await ask(head(['Transfer-Encoding: gzip, chunked']) + '0\r\n\r\n')).json.error.code, 'not_implemented');
  assert.equal((await ask(head(['Content-Length: 1', 'Transfer-Encoding: chunked']) + '0\r\n\r\n')).json.error.code, 'bad_request');
  assert.equal((await ask('GET /healthz HTTP/1.1\r\n\r\n')).json.error.code, 'bad_request');
});

// RFC 9112 3.2.2 wants it served, a server behind a proxy never needs it: both are fine, being led astray is not.
claim('an absolute-form target of the same host is served as the same path, or refused', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('GET http://h/healthz HTTP/1.1\r\nHost: h\r\n\r\n');
  const a = await c.response();
  if (a.status === 200) assert.deepEqual(a.json, { status: 'ok' });
  else assert.equal(a.status, 400);
});

claim('a WebSocket handshake with a body is refused, and the body is not taken for a request', async (t) => {
  const c = await t.raw(await daemon(t));
  c.write(head(['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', `Content-Length: ${SECOND.length}`], 'GET /v1/ws HTTP/1.1') +
    SECOND + 'GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
  const a = await c.response();
  assert.equal(a.status, 400);
  if (!/close/i.test(a.headers.connection ?? '')) assert.deepEqual((await c.response()).json, { status: 'ok' });
  await c.eof();
});

claim('a tab after a Content-Length is no part of it, or the request is refused', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write(head(['Content-Length: 3 \t'], 'POST /v1/publish?channel=ows HTTP/1.1') + 'abc');
  assert.ok([200, 400].includes((await c.response()).status));
});

claim('none of this was published', async (t) => {
  const d = await daemon(t);
  assert.deepEqual((await d.get('/v1/history?channel=a')).json.messages, []);
});

claim('the same shapes without the tricks are served', async (t) => {
  const d = await daemon(t);
  for (const bytes of [
    head(['Content-Length: 3']) + 'abc',
    head(['Content-Length: 003']) + 'abc',
    head(['Content-Length:3']) + 'abc',
    head(['Content-Length: \t 3 ']) + 'abc',
    head(['Transfer-Encoding: chunked']) + '3\r\nabc\r\n0\r\n\r\n',
    head(['transfer-encoding: CHUNKED']) + '003\r\nabc\r\n000\r\n\r\n',
    get(['X-A:']), get(['X-A: b\tc']), get(['X-A: \xe9']),
    'GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', 'GET /healthz HTTP/1.1\r\nHost: a.example:8080\r\n\r\n',
  ]) {
    const c = await t.raw(d);
    await c.write(Buffer.from(bytes + SECOND, 'latin1'));
    assert.equal((await c.response()).status, 200, JSON.stringify(bytes));
    assert.equal((await c.response()).json.name, 'holdfast', JSON.stringify(bytes));
    c.destroy();
  }
});

daemon.ends();
