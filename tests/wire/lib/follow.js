// SPDX-License-Identifier: MIT
// One face for all transports: follow channels from a cursor, take items {raw, json}, leave, come back elsewhere.

import { Queue, deadline } from './wait.js';
import { SseClient } from './sse.js';
import { WsClient } from './ws.js';
import { rawMessages } from './envelope.js';

export const TRANSPORTS = ['websocket', 'sse', 'longpoll', 'shortpoll'];

export function query(channels, { since, last, ...more } = {}) {
  const q = channels.map((c) => `channel=${encodeURIComponent(c)}`);
  if (since !== undefined) q.push(`since=${encodeURIComponent(since)}`);
  if (last !== undefined) q.push(`last=${last}`);
  for (const [k, v] of Object.entries(more)) q.push(`${k}=${encodeURIComponent(v)}`);
  return q.join('&');
}

class Follower {
  items = new Queue(); // messages and gaps, in order
  cursor = undefined;  // what to come back with
  seen = 0;

  add(raw, json) {
    if (json.id) this.cursor = json.id;
    if (json.type === 'message') this.seen++;
    this.items.push({ raw, json });
  }

  async take(n, ms = 10000) {
    const out = [];
    while (out.length < n) {
      const i = await this.items.next(ms, `message ${out.length + 1} of ${n} over ${this.transport}`);
      if (i.json.type !== 'message') throw new Error(`${i.json.type} where a message was due over ${this.transport}: ${i.raw}`);
      out.push(i);
    }
    return out;
  }

  async takeGap(ms = 5000) {
    const i = await this.items.next(ms, `a gap over ${this.transport}`);
    if (i.json.type !== 'gap') throw new Error(`${i.json.type} where a gap was due over ${this.transport}: ${i.raw}`);
    return i.json;
  }
}

class StreamFollower extends Follower {
  async run(client, isSse) {
    try {
      for (;;) {
        const e = isSse ? await client.next(3600e3) : await client.next(3600e3);
        const raw = isSse ? e.data : e.raw;
        if (raw === null) continue;
        const json = JSON.parse(raw);
        if (json.type === 'message' || json.type === 'gap') this.add(raw, json);
        if (json.type === 'goodbye') this.goodbye = json;
      }
    } catch (err) {
      this.items.end(err);
    }
  }

  close() { this.client.close(); }
}

class PollFollower extends Follower {
  stopped = false;
  replies = 0;

  async run(d, channels, start, wait) {
    try {
      let params = start;
      while (!this.stopped) {
        const a = await d.get(`/v1/poll?${query(channels, { ...params, ...(wait && { wait }) })}`, { ms: 30000 + wait * 1000 });
        if (this.stopped) return;
        if (a.status !== 200) throw new Error(`poll answered with ${a.status}: ${a.text}`);
        this.replies++;
        const reply = a.json;
        for (const g of reply.gaps ?? []) this.add(JSON.stringify(g), g);
        const raws = rawMessages(a.text);
        reply.messages.forEach((m, i) => this.add(raws[i], m));
        this.cursor = reply.cursor;
        params = { since: reply.cursor };
        if (!wait && !reply.more) await new Promise((resolve) => setTimeout(resolve, 10)); // lint: polls, as a client between two short polls
      }
    } catch (err) {
      this.items.end(err);
    }
  }

  close() {
    this.stopped = true;
    this.items.end(new Error('left'));
  }
}

// Resolves when the subscription stands. params: {since} or {last} or nothing (from now on).
export async function follow(transport, d, channels, params = {}, { wait = 5 } = {}) {
  let f;
  if (transport === 'websocket') {
    f = new StreamFollower();
    f.client = await WsClient.open(d, `/v1/ws?${query(channels, params)}`);
    const hello = await f.client.hello();
    f.cursor = hello.json.cursor;
    f.run(f.client, false);
  } else if (transport === 'sse') {
    f = new StreamFollower();
    f.client = await SseClient.open(d, `/v1/sse?${query(channels, params)}`);
    if (f.client.status !== 200) throw new Error(`SSE answered with ${f.client.status}`);
    const hello = await f.client.hello();
    f.cursor = hello.json.cursor;
    f.run(f.client, true);
  } else {
    f = new PollFollower();
    let start = params;
    if (params.since === undefined && params.last === undefined) start = { since: (await d.get(`/v1/poll?${query(channels)}`)).json.cursor };
    f.cursor = start.since;
    f.run(d, channels, start, transport === 'longpoll' ? wait : 0);
  }
  f.transport = transport;
  return f;
}

// Everything of the channels after the cursor, by paging through history (one channel) or short polls (several).
export async function readAll(d, channels, since = '0') {
  const out = [];
  for (;;) {
    const a = await d.get(`/v1/poll?${query(channels, { since })}`);
    if (a.status !== 200) throw new Error(`poll answered with ${a.status}: ${a.text}`);
    const raws = rawMessages(a.text);
    a.json.messages.forEach((json, i) => out.push({ raw: raws[i], json }));
    since = a.json.cursor;
    if (!a.json.more) return out;
  }
}

export async function readHistory(d, channel, since = '0', how = {}) {
  const out = [];
  for (;;) {
    const a = await d.get(`/v1/history?${query([channel], { since })}`, how);
    if (a.status !== 200) throw new Error(`history answered with ${a.status}: ${a.text}`);
    const raws = rawMessages(a.text);
    a.json.messages.forEach((json, i) => out.push({ raw: raws[i], json }));
    since = a.json.cursor;
    if (!a.json.more) return out;
  }
}

export { deadline };
