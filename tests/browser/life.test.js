// SPDX-License-Identifier: MIT
// What happens to a page in its life: the broker is killed and comes back, the network forgets its connections, the page is
// frozen, the laptop sleeps and finds another network, the machine is offline for a while. Every message once and in order.
// The heartbeat is one second here, the longest wait of a poll two, and a transport has one second to prove itself, so that
// silence is noticed soon.

import { after, describe } from 'node:test';
import { claim, assert } from '../wire/lib/claim.js';
import { Publisher, catchUp, closeBrowser, openBare, openTab, row, table, within } from './harness.js';
import { Box } from './boxes/box.js';
import { Forgetful } from './boxes/forgetful.js';

const TRANSPORTS = ['websocket', 'sse', 'longpoll', 'shortpoll'];
const STREAMS = ['websocket', 'sse', 'longpoll'];
const CHANNELS = ['a', 'b'];
const BROKER = { options: { 'delivery.heartbeat': '1s', 'delivery.poll_wait_max': '2s' } };
const CLIENT = { healthTimeout: 1000, backoff: { min: 100, max: 1000 } };
// Silence is noticed after 1.5 heartbeats and the health timeout, by polls after their wait and five seconds. Then the way back.
const NOTICED = { websocket: 8000, sse: 8000, longpoll: 14000, shortpoll: 14000 };

async function scene(t, transport, Kind, open = openTab) {
  const d = await t.daemon(BROKER);
  const box = t.keep(await Kind.open(d.port));
  const pub = new Publisher(d, CHANNELS);
  t.cleanup(() => pub.stop());
  await pub.burst(5);
  const view = await open(t, box, { channels: CHANNELS, options: { ...CLIENT, transports: [transport] } });
  await view.until(() => view.trusted, 5000, `${transport} to be trusted`);
  await catchUp(view, pub, 3000);
  return { d, box, pub, view };
}

// Milliseconds until everything that was sent is there.
async function recovery(view, pub, ms, what, transport, began = performance.now()) {
  await catchUp(view, pub, ms);
  const took = performance.now() - began;
  row({ 'what happened': what, transport, 'goes on after': Math.round(took), messages: pub.sent.length });
  return took;
}

// The broker's heart beats n times.
async function heartbeats(t, d, n) {
  const s = await t.sse(d, '/v1/sse?channel=quiet');
  for (let i = 0; i < n; i++) await s.events.find((e) => e.event === 'heartbeat', 5000, 'a heartbeat');
  s.close();
}

// Freeze the page while `meanwhile` goes on. That it was frozen is seen by its timers: none of them ran for so long.
async function freeze(view, meanwhile) {
  await view.page.evaluate(`{
    let last = performance.now();
    globalThis.longest = 0;
    setInterval(() => {
      globalThis.longest = Math.max(globalThis.longest, performance.now() - last);
      last = performance.now();
      if (globalThis.thawed) report({ kind: 'awake', at: 0 });
    }, 20);
  }`);
  await view.page.send('Page.setWebLifecycleState', { state: 'frozen' });
  await meanwhile();
  const thawed = performance.now();
  await view.page.send('Page.setWebLifecycleState', { state: 'active' });
  await view.page.evaluate('globalThis.thawed = true');
  await view.until(() => view.of('awake').length, 5000, 'the page to wake up');
  const longest = await view.page.evaluate('globalThis.thawed = false, globalThis.longest');
  assert.ok(longest > 2500, `the page was never frozen for longer than ${longest} ms`);
  return thawed;
}

function killed(transport) {
  claim(`the broker is killed and comes back, over ${transport}`, { ms: 40000 }, async (t) => {
    const { d, pub, view } = await scene(t, transport, Box);
    for (let round = 0; round < 2; round++) {
      pub.run(20);
      await view.count(pub.sent.length + 20, 10000, 'before the kill');
      await d.kill9();
      await view.until(() => view.state !== 'connected', 5000, 'the client to notice');
      await d.launch();
      const before = view.messages.length;
      const began = performance.now();
      await view.count(before + 1, 20000, 'after the restart');
      const took = performance.now() - began;
      row({ 'what happened': 'the broker came back', transport, 'goes on after': Math.round(took), messages: view.messages.length });
      within(took, 8000, 'the first message after the restart');
      await pub.stop();
      await catchUp(view, pub, 10000);
    }
  });
}

function forgotten(transport) {
  claim(`the network forgets all connections, over ${transport}`, { ms: 40000 }, async (t) => {
    const { box, pub, view } = await scene(t, transport, Forgetful);
    box.forget();
    await pub.burst(30);
    await recovery(view, pub, NOTICED[transport], 'connections were forgotten', transport);
    assert.ok(box.counts.forgotten > 0);
  });
}

function frozen(transport) {
  claim(`a page is frozen for longer than the heartbeat, over ${transport}`, { ms: 40000 }, async (t) => {
    const { d, pub, view } = await scene(t, transport, Box, openBare);
    const thawed = await freeze(view, async () => {
      pub.run(20);
      await heartbeats(t, d, 4);
      await pub.stop();
    });
    await recovery(view, pub, NOTICED[transport], 'the page was frozen', transport, thawed);
  });
}

function asleep(transport) {
  claim(`a laptop sleeps and wakes up in another network, over ${transport}`, { ms: 40000 }, async (t) => {
    const { d, box, pub, view } = await scene(t, transport, Forgetful, openBare);
    const thawed = await freeze(view, async () => {
      box.forget();
      pub.run(20);
      await heartbeats(t, d, 4);
      await pub.stop();
    });
    await recovery(view, pub, NOTICED[transport], 'the laptop slept', transport, thawed);
  });
}

function offline(transport) {
  claim(`the machine is offline for a while, over ${transport}`, { ms: 40000 }, async (t) => {
    const { box, pub, view } = await scene(t, transport, Box);
    await view.context.setOffline(true);
    box.unplug();
    await view.until(() => view.state === 'offline', 5000, 'the client to know that it is offline');
    await pub.burst(30);
    const known = view.messages.length;
    box.plug();
    await view.context.setOffline(false);
    const took = await recovery(view, pub, 10000, 'the machine was offline', transport);
    assert.ok(known < pub.sent.length, 'it was not offline');
    within(took, 4000, 'coming back after being offline');
  });
}

describe('life', { concurrency: 3 }, () => {
  TRANSPORTS.forEach(killed);
  STREAMS.forEach(forgotten);
  TRANSPORTS.forEach(frozen);
  STREAMS.forEach(asleep);
  STREAMS.forEach(offline);
});

describe('at the end', () => {
  claim('what was measured, in milliseconds', async (t) => table(t.test));
  after(closeBrowser);
});
