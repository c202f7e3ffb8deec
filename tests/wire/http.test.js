// SPDX-License-Identifier: MIT
// HTTP/1.1 as such: connections, pipelining, bodies, methods, sizes, CORS.

import { claim, shared, assert, refused, fresh } from './lib/claim.js';

const daemon = shared();
const IMF = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/;

claim('a connection is kept alive for further requests', async (t) => {
  const c = await t.raw(await daemon(t));
  for (let i = 0; i < 3; i++) {
    const a = await c.ask('GET', '/healthz');
    assert.equal(a.status, 200);
    assert.deepEqual(a.json, { status: 'ok' });
  }
});

claim('Connection: close is answered and then the connection ends', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('GET', '/healthz', { headers: { Connection: 'close' } });
  assert.equal(a.status, 200);
  assert.match(a.headers.connection ?? '', /close/i);
  await c.eof();
});

claim('answers carry a Date, a JSON content type and a length', async (t) => {
  const a = await (await t.raw(await daemon(t))).ask('GET', '/v1/info');
  assert.match(a.headers.date, IMF);
  assert.ok(Math.abs(Date.parse(a.headers.date) - Date.now()) < 5000);
  assert.match(a.headers['content-type'], /^application\/json/);
  assert.equal(Number(a.headers['content-length']), a.body.length);
});

claim('50 pipelined publishes in one packet are answered in their order with ascending ids', async (t) => {
  const c = await t.raw(await daemon(t));
  const ch = fresh();
  let bytes = '';
  for (let i = 0; i < 50; i++) bytes += `POST /v1/publish?channel=${ch} HTTP/1.1\r\nHost: h\r\nContent-Length: ${String(i).length}\r\n\r\n${i}`;
  await c.write(bytes);
  const ids = [];
  for (let i = 0; i < 50; i++) {
    const a = await c.response();
    assert.equal(a.status, 200, a.text);
    ids.push(BigInt(a.json.id.split('.').pop()));
  }
  for (let i = 1; i < ids.length; i++) assert.ok(ids[i] > ids[i - 1], `${ids[i]} after ${ids[i - 1]}`);
  const h = await c.ask('GET', `/v1/history?channel=${ch}`);
  assert.deepEqual(h.json.messages.map((m) => m.data), [...Array(50).keys()].map(String));
});

claim('an answer waits for the one before it, even when that is a long poll', async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  const ch = fresh();
  const since = await d.cursor(ch);
  await c.write(`GET /v1/poll?channel=${ch}&since=${since}&wait=20 HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n`);
  await d.untilMetric('holdfast_sessions{transport="longpoll"}', (n) => n >= 1);
  await d.publish(ch, 'now');
  const poll = await c.response();
  assert.equal(poll.json.messages[0].data, 'now');
  assert.deepEqual((await c.response()).json, { status: 'ok' });
});

claim('pipelined requests of all kinds and refusals keep their order', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: h\r\n\r\nHEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\nDELETE /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.equal((await c.response()).status, 200);
  assert.equal((await c.response()).status, 404);
  assert.equal((await c.response({ method: 'HEAD' })).status, 200);
  assert.equal((await c.response()).status, 405);
  assert.equal((await c.response()).json.name, 'holdfast');
});

claim('a chunked body is put together, extensions and trailers are ignored', async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  const ch = fresh();
  await c.write(`POST /v1/publish?channel=${ch} HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nTransfer-Encoding: Chunked\r\n\r\n` +
    '5\r\nhello\r\n1;name=value;q="x y"\r\n \r\n00a\r\n0123456789\r\n0\r\nX-Trailer: yes\r\n\r\n');
  assert.equal((await c.response()).status, 200);
  assert.equal((await c.ask('GET', `/v1/history?channel=${ch}`)).json.messages[0].data, 'hello 0123456789');
});

claim('a request that arrives one byte at a time is answered', async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  const ch = fresh();
  const bytes = `POST /v1/publish?channel=${ch} HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`;
  for (const b of bytes) await c.write(b);
  assert.equal((await c.response()).status, 200);
  assert.equal((await c.ask('GET', `/v1/history?channel=${ch}`)).json.messages[0].data, 'abcde');
});

claim('Expect: 100-continue is answered with 100 before the body', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write(`POST /v1/publish?channel=${fresh()} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n`);
  assert.equal((await c.response()).status, 100);
  await c.write('body');
  assert.equal((await c.response()).status, 200);
});

claim('Expect: 100-continue with a body that is too large is refused without 100', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write(`POST /v1/publish?channel=${fresh()} HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n`);
  refused(await c.response(), 413, 'too_large');
});

claim('any other Expect is refused with 417', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('GET /healthz HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n');
  refused(await c.response(), 417, 'expectation_failed');
});

for (const path of ['/healthz', '/readyz', '/metrics', '/v1/info', '/', '/v1/poll?channel=head', '/v1/history?channel=head']) {
  claim(`HEAD ${path} gives the head of GET and no body`, async (t) => {
    const c = await t.raw(await daemon(t));
    const get = await c.ask('GET', path);
    const head = await c.ask('HEAD', path);
    assert.equal(get.status, 200);
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-type'], get.headers['content-type']);
    if (path !== '/metrics') assert.equal(head.headers['content-length'], get.headers['content-length']);
    assert.equal((await c.ask('GET', '/healthz')).status, 200, 'the connection is out of step');
  });
}

claim('HEAD is not answered by streams', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('HEAD', '/v1/sse?channel=a');
  assert.equal(a.status, 405);
  assert.ok(a.headers.allow);
  assert.equal((await c.ask('GET', '/healthz')).status, 200);
});

for (const path of ['/v1/publish', '/v1/poll', '/v1/sse', '/v1/history', '/nowhere']) {
  claim(`a CORS preflight for ${path} is answered`, async (t) => {
    const c = await t.raw(await daemon(t));
    const a = await c.ask('OPTIONS', path, {
      headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type, last-event-id' },
    });
    assert.ok(a.status === 200 || a.status === 204, `status ${a.status}`);
    assert.equal(a.headers['access-control-allow-origin'], '*');
    assert.match(a.headers['access-control-allow-methods'], /\bPOST\b/);
    assert.match(a.headers['access-control-allow-headers'], /content-type|\*/i);
    assert.equal((await c.ask('GET', '/healthz')).status, 200);
  });
}

claim('answers and refusals may be read by pages of other origins, and ETag and Retry-After are exposed', async (t) => {
  const c = await t.raw(await daemon(t));
  for (const target of ['/v1/poll?channel=a', '/v1/poll', '/nowhere']) {
    const a = await c.ask('GET', target, { headers: { Origin: 'https://app.example' } });
    assert.equal(a.headers['access-control-allow-origin'], '*', target);
  }
  const a = await c.ask('GET', '/v1/poll?channel=a', { headers: { Origin: 'https://app.example' } });
  assert.match(a.headers['access-control-expose-headers'], /\bETag\b/i);
  assert.match(a.headers['access-control-expose-headers'], /\bRetry-After\b/i);
});

claim('configured origins are the only ones that are allowed', async (t) => {
  const d = await t.daemon({ options: { 'server.cors_origins': 'https://one.example https://two.example' } });
  const yes = await d.get('/v1/poll?channel=a', { headers: { Origin: 'https://two.example' } });
  assert.equal(yes.headers['access-control-allow-origin'], 'https://two.example');
  assert.match(yes.headers.vary ?? '', /origin/i);
  const no = await d.get('/v1/poll?channel=a', { headers: { Origin: 'https://evil.example' } });
  assert.notEqual(no.headers['access-control-allow-origin'], '*');
  assert.notEqual(no.headers['access-control-allow-origin'], 'https://evil.example');
});

claim('HTTP/1.0 is served without Host and the connection ends', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('GET /healthz HTTP/1.0\r\n\r\n');
  const a = await c.response();
  assert.equal(a.status, 200);
  assert.deepEqual(a.json, { status: 'ok' });
  assert.equal(a.headers['transfer-encoding'], undefined);
  await c.eof();
});

claim('an empty line before a request is tolerated', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.equal((await c.response()).status, 200);
});

claim('header names are case-insensitive', async (t) => {
  const d = await daemon(t);
  const c = await t.raw(d);
  const ch = fresh();
  await c.write(`POST /v1/publish?channel=${ch} HTTP/1.1\r\nhOST: h\r\ncONTENT-lENGTH: 3\r\ncONTENT-tYPE: text/plain\r\n\r\nabc`);
  assert.equal((await c.response()).status, 200);
});

claim('a request target of 10,000 bytes is served', async (t) => {
  const c = await t.raw(await daemon(t));
  const target = `/v1/poll?channel=a&padding=${'p'.repeat(10000)}`;
  assert.equal((await c.ask('GET', target)).status, 200);
});

claim('a request target above the limit is refused with 414', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write(`GET /v1/poll?channel=a&padding=${'p'.repeat(17000)} HTTP/1.1\r\nHost: h\r\n\r\n`);
  refused(await c.response(), 414, 'uri_too_long');
  await c.eof();
});

claim('headers above the limit are refused with 431', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write(`GET /healthz HTTP/1.1\r\nHost: h\r\n${`X-Padding: ${'p'.repeat(1000)}\r\n`.repeat(40)}\r\n`);
  refused(await c.response(), 431, 'headers_too_large');
  await c.eof();
});

claim('a header that never ends is refused with 431', async (t) => {
  const c = await t.raw(await daemon(t));
  c.write(`GET /healthz HTTP/1.1\r\nHost: h\r\nX-Padding: ${'p'.repeat(100000)}`);
  refused(await c.response(), 431, 'headers_too_large');
});

claim('headers just below the limit are served', async (t) => {
  const c = await t.raw(await daemon(t));
  const a = await c.ask('GET', '/healthz', { headers: { 'X-Padding': 'p'.repeat(30000) } });
  assert.equal(a.status, 200);
});

claim('a body above the limit is refused with 413 before it is sent', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write(`POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: ${2 << 20}\r\n\r\n`);
  refused(await c.response(), 413, 'too_large');
});

claim('a chunked body above the limit is refused with 413', async (t) => {
  const c = await t.raw(await daemon(t));
  const chunk = `10000\r\n${'x'.repeat(65536)}\r\n`;
  c.write(`POST /v1/publish?channel=a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(20)}0\r\n\r\n`);
  refused(await c.response(), 413, 'too_large');
});

claim('an unknown path is 404 and the connection stays', async (t) => {
  const c = await t.raw(await daemon(t));
  for (const path of ['/nowhere', '/v1', '/v1/', '/v1/publish/', '/V1/poll', '/v2/poll', '//healthz', '/v1/admin']) {
    const a = await c.ask('GET', path);
    assert.ok([403, 404].includes(a.status), `${path}: ${a.status}`);
    if (path !== '/v1/admin') refused(a, 404, 'not_found');
  }
});

for (const [method, path, allowed] of [
  ['GET', '/v1/publish?channel=a', 'POST'], ['DELETE', '/v1/publish?channel=a', 'POST'], ['POST', '/v1/poll?channel=a', 'GET'],
  ['POST', '/v1/sse?channel=a', 'GET'], ['PUT', '/v1/history?channel=a', 'GET'], ['POST', '/healthz', 'GET'], ['DELETE', '/metrics', 'GET'],
  ['PATCH', '/v1/info', 'GET'], ['POST', '/v1/ws', 'GET'], ['POST', '/v1/subscribe?channel=a', 'GET'],
]) {
  claim(`${method} ${path} is 405 with Allow: ${allowed}`, async (t) => {
    const c = await t.raw(await daemon(t));
    const a = await c.ask(method, path, method === 'GET' ? {} : { body: 'x' });
    refused(a, 405, 'method_not_allowed');
    assert.ok(a.headers.allow.split(/,\s*/).includes(allowed), `Allow: ${a.headers.allow}`);
    assert.equal((await c.ask('GET', '/healthz')).status, 200);
  });
}

claim('a method that does not exist is refused', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('BREW /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
  const a = await c.response();
  assert.ok([400, 405, 501].includes(a.status), `status ${a.status}`);
  assert.ok(a.json.error.code);
});

for (const version of ['HTTP/2.0', 'HTTP/0.9', 'HTTP/1.2', 'HTTP/3.0']) {
  claim(`${version} is refused with 505`, async (t) => {
    const c = await t.raw(await daemon(t));
    await c.write(`GET /healthz ${version}\r\nHost: h\r\n\r\n`);
    refused(await c.response(), 505, 'http_version_not_supported');
    await c.eof();
  });
}

claim('a body sent with GET is read over, not taken for a request', async (t) => {
  const c = await t.raw(await daemon(t));
  const inner = 'GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n';
  await c.write(`GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: ${inner.length}\r\n\r\n${inner}GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n`);
  const first = await c.response();
  if (first.status === 200) assert.deepEqual((await c.response()).json, { status: 'ready' });
  else await c.eof(); // refusing it is fine as well
});

claim('a client that half-closes after its request still gets the answer', async (t) => {
  const c = await t.raw(await daemon(t));
  await c.write('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
  c.finish();
  assert.equal((await c.response()).status, 200);
  await c.eof();
});

claim('more pipelined requests than the limit are all answered', async (t) => {
  const d = await t.daemon({ options: { 'http.pipeline': 4 } });
  const c = await t.raw(d);
  await c.write('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(100));
  for (let i = 0; i < 100; i++) assert.equal((await c.response()).status, 200);
});

claim('a request target may be percent-encoded, a plus is a space', async (t) => {
  const d = await daemon(t);
  await d.publish('a/b?c=d&e', 'x');
  const a = await d.get('/v1/history?channel=a%2Fb%3Fc%3Dd%26e');
  assert.equal(a.json.messages.length, 1);
  refused(await d.get('/v1/history?channel=a+b'), 400, 'bad_channel');
});

for (const q of ['channel=%', 'channel=%4', 'channel=%zz', 'channel=a%00b']) {
  claim(`the query ${q} is refused`, async (t) => {
    refused(await (await daemon(t)).get(`/v1/poll?${q}`), 400, ['bad_request', 'bad_parameter', 'bad_channel']);
  });
}

claim('answers through a proxy that splits every packet are whole', async (t) => {
  const d = await daemon(t);
  const p = await t.proxy(d, { split: 3, seed: 7 });
  const c = await t.raw(p);
  await c.write('GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.equal((await c.response()).json.name, 'holdfast');
  assert.equal((await c.response()).status, 200);
});

daemon.ends();
