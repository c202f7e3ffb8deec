// SPDX-License-Identifier: MIT
// Server-Sent Events by hand: a parser that also refuses what the format merely tolerates.

import { Raw } from './raw.js';
import { Queue, deadline } from './wait.js';

const utf8 = new TextDecoder('utf-8', { fatal: true });

// feed(bytes) → events {event, data, id, retry, comments}; also blocks that hold no data (retry or a comment alone).
export class SseParser {
  rest = Buffer.alloc(0);
  block = null;

  feed(bytes, emit) {
    let from = 0;
    let all = this.rest.length ? Buffer.concat([this.rest, bytes]) : bytes;
    for (;;) {
      const at = all.indexOf(10, from);
      if (at < 0) break;
      this.line(utf8.decode(all.subarray(from, at)), emit);
      from = at + 1;
    }
    this.rest = all.subarray(from);
  }

  line(line, emit) {
    if (line.includes('\r')) throw new Error(`SSE: a bare CR in ${JSON.stringify(line)}`);
    if (line === '') {
      const b = this.block;
      this.block = null;
      if (b) emit({ ...b, data: b.data === null ? null : b.data.join('\n') });
      return;
    }
    const b = this.block ??= { event: '', data: null, id: null, retry: null, comments: [] };
    if (line.startsWith(':')) {
      b.comments.push(line.slice(1).replace(/^ /, ''));
      return;
    }
    const at = line.indexOf(':');
    const field = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
    switch (field) {
    case 'data': (b.data ??= []).push(value); break;
    case 'event': b.event = value; break;
    case 'id': b.id = value; break;
    case 'retry':
      if (!/^\d+$/.test(value)) throw new Error(`SSE: retry ${JSON.stringify(value)}`);
      b.retry = Number(value);
      break;
    default: throw new Error(`SSE: unknown field in ${JSON.stringify(line)}`);
    }
  }

  // Is the stream at a place where it may end?
  get clean() { return this.rest.length === 0 && this.block === null; }
}

export class SseClient {
  events = new Queue();
  lastId = '';
  count = 0;
  blocks = 0;
  retry = null;

  // Resolves when the head of the answer is there. A refusal has status and json, and no events.
  static async open(d, target, { headers = {}, version = '1.1', admin = false, method = 'GET', ms = 5000 } = {}) {
    const c = new SseClient();
    c.raw = await Raw.connect(d, { admin });
    await c.raw.request(method, target, { version, headers: { Accept: 'text/event-stream', ...headers } });
    const head = await c.raw.head(ms, `the answer to SSE ${target}`);
    Object.assign(c, { status: head.status, headers: head.headers, version: head.version });
    c.chunked = head.headers['transfer-encoding'] === 'chunked';
    if (head.status !== 200) {
      const n = Number(head.headers['content-length'] ?? 0);
      const body = n ? (await c.raw.read(n)).toString() : '';
      c.json = body ? JSON.parse(body) : null;
      return c;
    }
    c.parser = new SseParser();
    c.ended = c.pump().then((how) => {
      c.events.end(new Error(`the stream ended (${how})`));
      return how;
    }, (err) => {
      c.events.end(err);
      return `broken: ${err.message}`;
    });
    return c;
  }

  async pump() {
    const emit = (e) => {
      this.blocks++;
      if (e.retry !== null) this.retry = e.retry;
      if (e.id !== null) this.lastId = e.id;
      if (e.data !== null && e.event === '') this.count++;
      this.events.push(e);
    };
    for (;;) {
      let data;
      if (this.chunked) {
        await this.raw.wait(() => (this.raw.size || this.raw.ended ? true : undefined), 3600e3, 'a chunk');
        if (!this.raw.size) return this.how('without the last chunk');
        data = await this.raw.chunk(60e3);
        if (data === null) return this.how('last chunk');
      } else {
        await this.raw.wait(() => (this.raw.size || this.raw.ended ? true : undefined), 3600e3, 'bytes');
        if (!this.raw.size) return this.how('eof');
        data = this.raw.take(this.raw.size);
      }
      this.parser.feed(data, emit);
    }
  }

  how(text) { return this.parser.clean ? text : `${text}, inside an event`; }

  next(ms, what = 'an SSE event') { return this.events.next(ms, what); }

  // The next event of this name ('' for a message), parsed; fails when another one comes first, except retry lines and heartbeats.
  async expect(name, ms = 5000) {
    for (;;) {
      const e = await this.next(ms, `the SSE event "${name || 'message'}"`);
      if (e.data === null || (e.event === 'heartbeat' && name !== 'heartbeat')) continue;
      if (e.event !== name) throw new Error(`SSE event "${e.event}" where "${name || 'message'}" was due: ${e.data.slice(0, 200)}`);
      return { ...e, json: JSON.parse(e.data) };
    }
  }

  hello(ms) { return this.expect('hello', ms); }
  message(ms) { return this.expect('', ms); }
  gap(ms) { return this.expect('gap', ms); }

  async messages(n, ms = 5000) {
    const out = [];
    while (out.length < n) out.push(await this.message(ms));
    return out;
  }

  // Nothing but heartbeats has come up to now: proven by a marker message that the caller published.
  pause() { this.raw.socket.pause(); }
  resume() { this.raw.socket.resume(); }
  end(ms = 5000) { return deadline(this.ended, ms, 'the end of the SSE stream'); }
  close() { this.raw.destroy(); }
}
