// SPDX-License-Identifier: MIT
// A small broker that can be told to lose, repeat, swap, cut and delay: what the load generator's own test runs against. Each
// subscriber (its number is in the path: i=N) has a list of the payloads that it is to get, which `plan` fills; streams write
// what is added to it, polls answer with what is behind their cursor.

import crypto from 'node:crypto';
import http from 'node:http';
import { deadline } from './wait.js';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export function frame(payload, { opcode = 1, fin = true } = {}) {
  const head = payload.length < 126 ? [0, payload.length] : [0, 126, payload.length >> 8, payload.length & 255];
  head[0] = (fin ? 0x80 : 0) | opcode;
  return Buffer.concat([Buffer.from(head), payload]);
}

export class Tamper {
  // plan(n, i): what becomes of publish n (from 0) for subscriber i: how many copies go to its list at once (default 1), or a
  //   list of numbers of publishes to add instead.
  // refuse(n), delay(n): is publish n refused; how many ms pass before it is looked at.
  // cut: payloads are sent in two pieces, frames or chunks.
  constructor({ plan = () => 1, refuse = () => false, delay = () => 0, cut = false, answer } = {}) {
    Object.assign(this, { plan, refuse, delay, cut, answer });
    this.published = [];
    this.subscribers = new Map();
    this.server = http.createServer((req, res) => this.request(req, res));
    this.server.keepAliveTimeout = 0;
    this.server.on('upgrade', (req, socket) => this.upgrade(req, socket));
    this.sockets = new Set();
    this.server.on('connection', (s) => {
      this.sockets.add(s);
      s.on('close', () => this.sockets.delete(s));
      s.on('error', () => {});
    });
  }

  async listen(t) {
    await deadline(new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve)), 5000, 'listen');
    this.address = `127.0.0.1:${this.server.address().port}`;
    t.cleanup(() => this.close());
    return this;
  }

  close() {
    for (const s of this.sockets) s.destroy();
    this.server.close();
  }

  subscriber(req) {
    const i = Number(new URL(req.url, 'http://x').searchParams.get('i'));
    if (!this.subscribers.has(i)) this.subscribers.set(i, { list: [], write: null, waiting: null });
    return this.subscribers.get(i);
  }

  // --- publishing

  publish(req, res, body) {
    const n = this.published.length;
    this.published.push(body);
    const act = () => {
      if (this.refuse(n)) {
        res.writeHead(503).end('{}');
        return;
      }
      for (const [i, s] of this.subscribers) this.give(s, this.plan(n, i), n);
      res.writeHead(this.answer ?? 200).end('{}');
    };
    const ms = this.delay(n);
    if (ms) setTimeout(act, ms);
    else act();
  }

  give(s, what, n) {
    const numbers = Array.isArray(what) ? what : Array(what).fill(n);
    for (const k of numbers) {
      const payload = typeof k === 'number' ? this.published[k] : k;
      s.list.push(payload);
      s.write?.(payload);
    }
    if (numbers.length && s.waiting) s.waiting();
  }

  // --- subscribing

  upgrade(req, socket) {
    const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + GUID).digest('base64');
    const s = this.subscriber(req);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.write(frame(Buffer.from('{"type":"hello"}')));
    s.socket = socket;
    s.write = (p) => {
      if (!this.cut) return socket.write(frame(p));
      const at = p.length >> 3;
      socket.write(frame(p.subarray(0, at), { fin: false }));
      return socket.write(frame(p.subarray(at), { opcode: 0 }));
    };
  }

  stream(req, res) {
    const s = this.subscriber(req);
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    res.write('event: hello\ndata: {"type":"hello"}\n\n');
    s.write = (p) => {
      const event = Buffer.concat([Buffer.from('data: '), p, Buffer.from('\n\n')]);
      if (!this.cut) return res.write(event);
      res.write(event.subarray(0, 14));
      return res.write(event.subarray(14));
    };
  }

  poll(req, res, params) {
    const s = this.subscriber(req);
    const since = params.get('since');
    const answer = () => {
      s.waiting = null;
      const news = since === null ? [] : s.list.slice(Number(since)).map((p) => p.toString('latin1'));
      const cursor = since === null ? s.list.length : Number(since) + news.length;
      const body = `{"cursor":"${cursor}","messages":[${news}]}`;
      if (!this.cut) return res.end(body);
      for (let at = 0; at < body.length; at += 10) res.write(body.slice(at, at + 10)); // chunks
      return res.end();
    };
    if (since !== null && params.has('wait') && s.list.length <= Number(since)) s.waiting = answer;
    else answer();
  }

  request(req, res) {
    const url = new URL(req.url, 'http://x');
    if (req.method === 'POST') {
      const parts = [];
      req.on('data', (b) => parts.push(b));
      req.on('end', () => this.publish(req, res, Buffer.concat(parts)));
    } else if (url.pathname === '/v1/sse') {
      this.stream(req, res);
    } else {
      this.poll(req, res, url.searchParams);
    }
  }
}
