// SPDX-License-Identifier: MIT
// One face for every way to subscribe, for the contract suite (contract.test.js). A way is one line of ADAPTERS: its name, what it
// can do, and a function that opens it.
//
//   const r = await adapter.open(t, d, { channels, since, last, more, admin, wait })   throws a Refusal when it is refused; more: other
//   parameters; wait: seconds of a long poll
//   await r.next()   the next message: { data, id, json }; gaps that come before it go to r.gaps
//   r.cursor         what to come back with
//   r.pause(), r.resume(), r.close()
//
// What an adapter `can`:
//   ids       tells the id of a message            envelope  shows the JSON object of docs/protocol.md
//   gaps      tells of gaps                        many      takes more than one channel
//   live      is there when an ephemeral message comes
//   stream    stays open: hello, heartbeat, goodbye
//   url       its parameters stand in a URL        admin     is offered on the admin socket to these tests
//   cr        brings every byte of a text; SSE can not carry CR

import http from 'node:http';
import { Queue, until } from './wait.js';
import { SseClient } from './sse.js';
import { WsClient, RawWs, OP } from './ws.js';
import { member, rawMessages } from './envelope.js';
import { query } from './follow.js';

export class Refusal extends Error {
  constructor(code, status) {
    super(`refused with ${status ?? 'an error frame'} ${code}`);
    Object.assign(this, { code, status });
  }
}

class Reader {
  items = new Queue();
  gaps = [];
  cursor = undefined;
  hello = null;
  others = new Queue(); // heartbeat, goodbye

  message(item) {
    if (item.id) this.cursor = item.id;
    this.items.push(item);
  }

  envelope(raw, json) {
    if (json.type === 'message') this.message({ raw, json, id: json.id, data: member(raw, 'data') });
    else if (json.type === 'gap') this.items.push({ gap: json });
    else this.others.push(json);
  }

  async next(ms = 10000, what = 'a message') {
    for (;;) {
      const item = await this.items.next(ms, `${what} over ${this.name}`);
      if (!item.gap) return item;
      this.gaps.push(item.gap);
    }
  }

  async take(n, ms = 10000) {
    const out = [];
    while (out.length < n) out.push(await this.next(ms, `message ${out.length + 1} of ${n}`));
    return out;
  }

  // The next item, which must be a gap.
  async gap(ms = 5000) {
    const item = await this.items.next(ms, `a gap over ${this.name}`);
    if (!item.gap) throw new Error(`a message where a gap was due over ${this.name}: ${item.raw}`);
    this.gaps.push(item.gap);
    return item.gap;
  }

  // Hand over what client.next() gives until it is over.
  async pump(next) {
    try {
      for (;;) await next();
    } catch (err) {
      this.items.end(err);
      this.others.end(err);
    }
  }
}

// --- event streams ---

class SseReader extends Reader {
  constructor(client, isRaw) {
    super();
    this.client = client;
    this.isRaw = isRaw;
  }

  async begin() {
    this.hello = (await this.client.hello()).json;
    this.cursor = this.hello.cursor;
    this.pump(async () => {
      const e = await this.client.next(3600e3);
      if (e.data === null) return;
      if (e.event) this.envelope(e.data, JSON.parse(e.data));
      else if (this.isRaw) this.message({ raw: e.data, data: e.data, id: e.id });
      else {
        const json = JSON.parse(e.data);
        if (json.id !== undefined && json.id !== e.id) throw new Error(`id: ${e.id} around ${json.id}`);
        this.envelope(e.data, json);
      }
    });
    return this;
  }

  pause() { this.client.pause(); }
  resume() { this.client.resume(); }
  close() { this.client.close(); }
}

const sse = ({ path = '/v1/sse', version = '1.1', format, byHeader = false } = {}) => async (t, d, o) => {
  const q = query(o.channels, { since: byHeader ? undefined : o.since, last: o.last, ...(format && { format }), ...o.more });
  const headers = byHeader && o.since !== undefined ? { 'Last-Event-ID': o.since } : {};
  const client = await t.sse(d, `${path}?${q}`, { version, headers, admin: o.admin });
  if (client.status !== 200) throw new Refusal(client.json.error.code, client.status);
  return new SseReader(client, format === 'raw').begin();
};

// --- WebSockets ---

class WsReader extends Reader {
  constructor(client) {
    super();
    this.client = client;
  }

  async begin() {
    this.pump(async () => {
      const f = await this.client.next(3600e3);
      this.envelope(f.raw, f.json);
    });
    return this;
  }

  pause() { this.client.pause(); }
  resume() { this.client.resume(); }
  close() { this.client.close(); }
}

async function openWs(t, d, target, how) {
  try {
    return await t.ws(d, target, how);
  } catch (err) {
    if (err.json) throw new Refusal(err.json.error.code, err.status);
    throw err;
  }
}

const websocket = ({ path = '/v1/ws', deflate = false } = {}) => async (t, d, o) => {
  const r = new WsReader(await openWs(t, d, `${path}?${query(o.channels, { since: o.since, last: o.last, ...o.more })}`, { deflate }));
  r.hello = (await r.client.hello()).json;
  r.cursor = r.hello.cursor;
  return r.begin();
};

// Subscribing by a frame on an open socket.
const websocketFrame = () => async (t, d, o) => {
  const r = new WsReader(await openWs(t, d, '/v1/ws'));
  r.hello = (await r.client.hello()).json;
  const reply = await r.client.command({ type: 'subscribe', channels: o.channels, since: o.since, last: o.last, ...o.more });
  if (reply.type === 'error') throw new Refusal(reply.code);
  r.cursor = reply.cursor ?? undefined;
  return r.begin();
};

class RawWsReader extends Reader {
  constructor(client) {
    super();
    this.client = client;
    this.pump(async () => {
      const f = await client.next(3600e3);
      if (f.opcode === OP.close) throw new Error(`closed: ${f.code} ${f.reason}`);
      if (f.opcode === OP.text || f.opcode === OP.binary) this.message({ raw: f.payload, data: f.opcode === OP.text ? f.text : f.payload });
    });
  }

  pause() { this.client.raw.socket.pause(); }
  resume() { this.client.raw.socket.resume(); }
  close() { this.client.close(); }
}

const rawWebsocket = ({ deflate = false } = {}) => async (t, d, o) => {
  const target = `/v1/ws?${query(o.channels, { since: o.since, last: o.last, format: 'raw', ...o.more })}`;
  let client;
  try {
    client = await t.rawWs(d, target, { deflate });
  } catch (err) {
    const a = await d.get(target, { headers: HANDSHAKE, agent: false }); // the same again, to see why
    if (a.status >= 400) throw new Refusal(a.json.error.code, a.status);
    throw err;
  }
  return new RawWsReader(client);
};
const HANDSHAKE = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' };

// --- polls ---

// As soon as there was no message it asks again: at once when it waits, else after a while as a client would.
const POLL_PAUSE_MS = 10;

class PollReader extends Reader {
  stopped = false;
  paused = null;

  constructor(d, path, wait, headers, o) {
    super();
    Object.assign(this, { d, path, wait, headers, o });
    this.agent = new http.Agent({ keepAlive: true });
    this.params = { since: o.since, last: o.last };
  }

  async ask() {
    const { channels, more, admin } = this.o;
    const q = query(channels, { ...this.params, ...(this.wait && { wait: this.o.wait ?? this.wait }), ...more });
    const a = await this.d.get(`${this.path}?${q}`, { headers: this.headers, ms: 30000 + this.wait * 1000, agent: admin ? undefined : this.agent, admin });
    if (a.status !== 200) throw new Refusal(a.json.error.code, a.status);
    const reply = a.json;
    this.cursor = reply.cursor;
    this.params = { since: reply.cursor };
    for (const g of reply.gaps ?? []) this.items.push({ gap: g });
    const raws = rawMessages(a.text);
    reply.messages.forEach((json, i) => this.items.push({ raw: raws[i], json, id: json.id, data: member(raws[i], 'data') }));
    return reply;
  }

  async run() {
    try {
      while (!this.stopped) {
        if (this.paused) await this.paused;
        const reply = await this.ask();
        if (!this.wait && !reply.more) await new Promise((resolve) => setTimeout(resolve, POLL_PAUSE_MS)); // lint: polls
      }
    } catch (err) {
      this.items.end(err);
    }
  }

  pause() { this.paused = new Promise((resolve) => { this.go = resolve; }); }

  resume() {
    this.paused = null;
    this.go();
  }

  close() {
    this.stopped = true;
    this.items.end(new Error('left'));
    this.agent.destroy();
  }
}

const subscribers = async (d, channel) => (await d.admin(`/v1/admin/channel?channel=${encodeURIComponent(channel)}`)).json.subscribers ?? 0;

const poll = ({ path = '/v1/poll', wait = 0, headers = {} } = {}) => async (t, d, o) => {
  const r = t.keep(new PollReader(d, path, wait, headers, o));
  if (!wait) {
    await r.ask();
    r.run();
    return r;
  }
  // It stands when the broker counts it, unless it was answered at once.
  const before = o.channels.length ? await subscribers(d, o.channels[0]) : 0;
  let first = null;
  r.ask().then((reply) => { first = { reply }; }, (err) => { first = { err }; }).then(() => { if (!first.err) r.run(); });
  await until(async () => first || (o.channels.length && await subscribers(d, o.channels[0]) > before), 10000, `the poll over ${path} to stand`);
  if (first?.err) throw first.err;
  return r;
};

// --- the list ---

const ENVELOPE = ['ids', 'gaps', 'many', 'envelope', 'live'];
const make = (name, open, ...can) => ({
  name,
  can: new Set(can.flat()),
  open: async (t, d, o) => Object.assign(await open(t, d, { channels: [], ...o }), { name }),
});

export const ADAPTERS = [
  make('websocket', websocket(), ENVELOPE, 'stream', 'url', 'cr'),
  make('sse', sse(), ENVELOPE, 'stream', 'url', 'admin'),
  make('longpoll', poll({ wait: 5 }), ENVELOPE, 'url', 'admin', 'cr'),
  make('shortpoll', poll(), 'ids', 'gaps', 'many', 'envelope', 'url', 'admin', 'cr'),
  make('websocket, subscribed by a frame', websocketFrame(), ENVELOPE, 'stream', 'cr'),
  make('sse with Last-Event-ID', sse({ byHeader: true }), ENVELOPE, 'stream', 'url', 'admin'),
  make('sse over HTTP/1.0', sse({ version: '1.0' }), ENVELOPE, 'stream', 'url', 'admin'),
  make('sse format=raw', sse({ format: 'raw' }), 'ids', 'gaps', 'many', 'live', 'stream', 'url', 'admin'),
  make('websocket format=raw', rawWebsocket(), 'live', 'url', 'cr'),
  make('websocket with permessage-deflate', websocket({ deflate: true }), ENVELOPE, 'stream', 'url', 'cr'),
  make('websocket format=raw with permessage-deflate', rawWebsocket({ deflate: true }), 'live', 'url', 'cr'),
  make('longpoll in gzip', poll({ wait: 5, headers: { 'accept-encoding': 'gzip' } }), ENVELOPE, 'url', 'admin', 'cr'),
  make('/v1/subscribe as websocket', websocket({ path: '/v1/subscribe' }), ENVELOPE, 'stream', 'url', 'cr'),
  make('/v1/subscribe as sse', sse({ path: '/v1/subscribe' }), ENVELOPE, 'stream', 'url', 'admin'),
  make('/v1/subscribe as longpoll', poll({ path: '/v1/subscribe', wait: 5 }), ENVELOPE, 'url', 'admin', 'cr'),
];

export { subscribers };
