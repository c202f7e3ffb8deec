// SPDX-License-Identifier: MIT
// Somebody in a channel with presence, over any transport: the same words for all of them, so that a test can change the transport.
//
//   const p = await attend(t, d, 'sse', ['room:a'], { session, info })
//   p.session   the id to come back with;  p.name  what others see of it
//   p.leave()   drop the connection, or stop polling
//
// A watcher sees what a channel's subscribers are told: await watcher.event('join').

import { Queue } from './wait.js';
import { query } from './follow.js';

export const WAYS = ['websocket', 'sse', 'longpoll', 'shortpoll'];
export const nameOf = (session) => session.slice(0, 16);

const open = {
  async websocket(t, d, q) {
    const w = await t.ws(d, `/v1/ws?${q}`);
    return { session: (await w.hello()).json.session, leave: () => w.close(), client: w };
  },
  async sse(t, d, q) {
    const s = await t.sse(d, `/v1/sse?${q}`);
    return { session: (await s.hello()).json.session, leave: () => s.close(), client: s };
  },
  // One poll at a time; each begins with the session of the one before.
  async longpoll(t, d, q) {
    const a = await d.get(`/v1/poll?${q}&wait=0.05`);
    return { session: a.json.session, leave: () => {}, reply: a.json };
  },
  async shortpoll(t, d, q) {
    const a = await d.get(`/v1/poll?${q}`);
    return { session: a.json.session, leave: () => {}, reply: a.json };
  },
};

export async function attend(t, d, way, channels, { session, info, ...more } = {}) {
  const q = query(channels, { session, ...(info !== undefined && { info: JSON.stringify(info) }), ...more });
  const p = await open[way](t, d, q);
  return Object.assign(p, { way, name: nameOf(p.session) });
}

export const members = async (d, channel, more = '') => (await d.get(`/v1/presence?channel=${encodeURIComponent(channel)}${more}`)).json;

// Follows a channel over SSE and keeps its events apart from its messages.
export async function watch(t, d, channel, more = {}) {
  const client = await t.sse(d, `/v1/sse?${query([channel], more)}`);
  const w = { client, events: new Queue(), messages: new Queue() };
  const hello = (await client.hello()).json;
  w.session = hello.session;
  w.name = nameOf(hello.session);
  (async () => {
    try {
      for (;;) {
        const e = await client.next(3600e3);
        if (e.data === null || e.event === 'heartbeat') continue;
        const json = JSON.parse(e.data);
        if (e.event && e.event !== json.type) throw new Error(`event ${e.event} around ${e.data}`);
        (e.event ? w.events : w.messages).push(json);
      }
    } catch (err) {
      w.events.end(err);
      w.messages.end(err);
    }
  })();
  // The next event, which must be of this type.
  w.event = async (type, ms) => {
    const e = await w.events.next(ms, `the event ${type} of ${channel}`);
    if (e.type !== type) throw new Error(`${JSON.stringify(e)} where ${type} was due`);
    return e;
  };
  // Its own coming is told to it, too.
  w.arrived = async () => {
    const e = await w.event('join');
    if (!e.members.some((m) => m.session === w.name)) throw new Error(`not of ${w.name}: ${JSON.stringify(e)}`);
    return w;
  };
  return w;
}

// Names that come, out of events of one type, until there are n.
export async function names(w, type, n, ms = 10000) {
  const out = [];
  while (out.length < n) out.push(...(await w.event(type, ms)).members.map((m) => m.session));
  return out.sort();
}
