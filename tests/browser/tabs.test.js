// SPDX-License-Identifier: MIT
// Many tabs of one origin. Browsers open six connections to an HTTP/1.1 host at most, for all tabs together: eight event streams can not
// be. With shareTabs one tab is connected for all; when it is closed, or its process dies, another takes over and nobody
// loses or repeats a message.

import { after, describe } from 'node:test';
import { claim, assert } from '../wire/lib/claim.js';
import { until } from '../wire/lib/wait.js';
import { Publisher, browser, catchUp, closeBrowser, openTab, row, table, within } from './harness.js';

const TABS = 8;
const CHANNELS = ['a', 'b', 'c'];
const STREAM = { sse: '/v1/sse', websocket: '/v1/ws', longpoll: '/v1/poll' };

async function tabs(t, options) {
  const d = await t.daemon();
  const context = await (await browser()).newContext();
  t.cleanup(() => context.close());
  const pub = new Publisher(d, CHANNELS);
  t.cleanup(() => pub.stop());
  await pub.burst(20);
  pub.run(50);
  const began = performance.now();
  const views = await Promise.all(Array.from({ length: TABS }, () => openTab(t, d, { channels: CHANNELS, options }, { context })));
  await Promise.all(views.map((v) => v.count(30, 20000, 'in each tab')));
  return { d, pub, views, opened: performance.now() - began };
}

const all = async (views, pub) => Promise.all(views.map((v) => catchUp(v, pub, 15000)));

async function streams(d) {
  const { connections } = (await d.admin('/v1/admin/connections?limit=100')).json;
  return connections.filter((c) => c.channels.length).length;
}

const WAYS = {
  'is closed': (v) => v.page.close(),
  async crashes(v) {
    v.cdp.send('Page.crash').catch(() => {}); // never answered
    await v.until(() => v.crashed, 15000, 'the crash');
  },
};

// The tab that is connected goes: the last that asked for a stream. Gives those that are left, when all of them go on.
async function leave(d, left, transport, how) {
  const asked = (v) => v.requests.findLast((r) => r.path === STREAM[transport])?.at ?? 0;
  await until(async () => left.some(asked) && await streams(d) === 1, 10000, 'one connection for all');
  const leader = left.reduce((a, b) => (asked(b) > asked(a) ? b : a));
  const began = performance.now();
  await WAYS[how](leader);
  left = left.filter((v) => v !== leader && !v.crashed); // a process may hold several tabs
  assert.ok(left.length >= 2, `${left.length} tabs are left`);
  const before = left.map((v) => v.messages.length);
  await Promise.all(left.map((v, i) => v.count(before[i] + 20, 20000, 'from the next one')));
  const took = performance.now() - began;
  row({ case: `the tab that is connected ${how}, ${transport}`, tabs: left.length, 'all go on after': Math.round(took) });
  within(took, 12000, 'the change to another tab');
  return left;
}

claim('eight tabs without sharing, over WebSocket: each gets every message once', { ms: 60000 }, async (t) => {
  const { d, pub, views, opened } = await tabs(t, { transports: ['websocket'] });
  await pub.stop();
  await all(views, pub);
  assert.equal(await streams(d), TABS);
  row({ case: 'a WebSocket each', tabs: TABS, connections: TABS, 'all are going after': Math.round(opened) });
});

for (const [transport, ...ways] of [['sse', 'is closed', 'crashes'], ['websocket', 'is closed', 'crashes'], ['longpoll', 'is closed']]) {
  claim(`eight tabs share one connection over ${transport}, and lose nothing when the tab that has it goes`, { ms: 90000 }, async (t) => {
    const { d, pub, views, opened } = await tabs(t, { transports: [transport], shareTabs: true });
    await until(async () => await streams(d) === 1, 10000, 'one connection for all');
    row({ case: `one ${transport} for all`, tabs: TABS, connections: 1, 'all are going after': Math.round(opened) });
    let left = views;
    for (const how of ways) left = await leave(d, left, transport, how);
    await pub.stop();
    await all(left, pub);
  });
}

describe('at the end', () => {
  claim('what was measured, in milliseconds', async (t) => table(t.test));
  after(closeBrowser);
});
