// SPDX-License-Identifier: MIT
// What only a browser has: tabs that share a connection, and an outbox in IndexedDB.

import fs from 'node:fs';
import { chromium } from 'playwright-core';
import { claim, assert } from '../wire/lib/claim.js';
import { until } from '../wire/lib/wait.js';
import { numbers } from './lib/client.js';

const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const skip = fs.existsSync(executablePath) ? false : `there is no ${executablePath}`;
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

async function browser(t) {
  const b = await chromium.launch({ executablePath, args });
  t.cleanup(() => b.close());
  return b.newContext();
}

// A page of the broker's origin with a client `c`, and what it gets of channel a in `got`.
async function tab(context, d, options = {}) {
  const page = await context.newPage();
  page.on('pageerror', (err) => { page.failed = err; });
  await page.goto(`${d.base}/healthz`);
  await page.evaluate(async (o) => {
    const { Holdfast } = await import('/holdfast.js');
    window.c = new Holdfast('/', { backoff: { min: 20, max: 300 }, ...o });
    window.got = [];
    window.gaps = [];
    window.c.on('gap', (g) => window.gaps.push(g));
    window.sub = window.c.subscribe('a', (m) => window.got.push(m.data));
    await window.sub.ready;
    await new Promise((resolve) => (window.c.state === 'connected' ? resolve() : window.c.on('state', (s) => s.state === 'connected' && resolve())));
  }, options);
  return page;
}

const got = (page) => page.evaluate(() => window.got);
const has = (page, want) => until(async () => (await got(page)).length >= want.length, 15000, async () => `${want.length} messages`).then(async () => assert.deepEqual(await got(page), want));
const streams = async (d) => (await d.admin('/v1/admin/connections')).json.connections.filter((c) => c.transport === 'websocket').length;

claim('all tabs share one connection, and the death of the leader loses and repeats nothing', { skip, ms: 45000 }, async (t) => {
  const d = await t.daemon();
  const context = await browser(t);
  const tabs = [];
  for (const _ of numbers(3)) tabs.push(await tab(context, d, { shareTabs: true }));
  assert.equal(await streams(d), 1);
  for (const page of tabs) assert.equal(await page.evaluate(() => window.c.transport), 'websocket');
  const want = [];
  const publish = async (n) => { for (const _ of numbers(n)) want.push(`${want.length}`) && await d.publish('a', want.at(-1)); };
  await publish(10);
  for (const page of tabs) await has(page, want);

  await publish(5);
  await tabs[0].close();
  await publish(20);
  for (const page of tabs.slice(1)) await has(page, want);
  await until(async () => await streams(d) === 1, 10000, 'one connection');

  const cdp = await context.newCDPSession(tabs[1]);
  cdp.send('Page.crash').catch(() => {});
  await publish(20);
  await has(tabs[2], want);
  await until(async () => await streams(d) === 1, 15000, 'one connection');
  await tabs[2].evaluate(() => window.c.publish('a', 'from a tab'));
  await has(tabs[2], [...want, 'from a tab']);
  assert.deepEqual(await tabs[2].evaluate(() => window.gaps), []);
  assert.equal(tabs[2].failed, undefined);
});

claim('tabs leave the connection to those that stay, and channels of their own reach them', { skip, ms: 30000 }, async (t) => {
  const d = await t.daemon();
  const context = await browser(t);
  const [leader, follower] = [await tab(context, d, { shareTabs: true }), await tab(context, d, { shareTabs: true })];
  await follower.evaluate(async () => {
    window.own = [];
    await window.c.subscribe('own', { since: 0 }, (m) => window.own.push(m.data)).ready;
  });
  await d.publish('own', 'x');
  await until(() => follower.evaluate(() => window.own.length === 1), 10000, 'the message of its own channel');
  await until(async () => (await d.admin('/v1/admin/channel?channel=own')).json.subscribers === 1, 5000, 'the subscription');
  await follower.close();
  await until(async () => (await d.admin('/v1/admin/channel?channel=own')).json.subscribers === 0, 10000, 'the end of the subscription');
  await d.publish('a', 'y');
  await has(leader, ['y']);
});

claim('an outbox in IndexedDB goes on after a reload: once, in order, with the same producer', { skip, ms: 30000 }, async (t) => {
  const d = await t.daemon();
  const context = await browser(t);
  const page = await tab(context, d, { outbox: { name: 'test' } });
  await page.evaluate(() => window.c.publish('box', 'first'));
  await context.setOffline(true);
  await page.evaluate(() => {
    for (let i = 0; i < 20; i++) window.c.publish('box', i).catch(() => {});
    return new Promise((resolve) => { const id = setInterval(() => (window.c.pending === 20 && window.c.outbox?.length !== 0) && (clearInterval(id), resolve()), 50); });
  });
  const kept = () => page.evaluate(() => new Promise((resolve) => {
    const r = indexedDB.open('holdfast:outbox:test');
    r.onsuccess = () => {
      const q = r.result.transaction('entries').objectStore('entries').count();
      q.onsuccess = () => { r.result.close(); resolve(q.result); };
    };
  }));
  await until(async () => await kept() === 20, 10000, 'twenty kept publishes');
  await page.close();
  await context.setOffline(false);
  const next = await tab(context, d, { outbox: { name: 'test' } });
  await next.evaluate(() => window.c.publish('box', 'last'));
  const stored = (await d.get('/v1/history?channel=box')).json.messages.map((m) => m.data);
  assert.deepEqual(stored, ['first', ...numbers(20), 'last']);
});

claim('two tabs with one outbox: both are sent, each once, and each gets its receipts', { skip, ms: 30000 }, async (t) => {
  const d = await t.daemon();
  const context = await browser(t);
  const tabs = [await tab(context, d, { outbox: { name: 'test' } }), await tab(context, d, { outbox: { name: 'test' } })];
  const receipts = await Promise.all(tabs.map((page, tabNumber) => page.evaluate(async (k) => {
    const all = [];
    for (let i = 0; i < 200; i++) {
      all.push(window.c.publish('box', [k, i]));
      if (i % 7 === 0) await all[i];
    }
    return (await Promise.all(all)).map((r) => r.id);
  }, tabNumber)));
  const stored = (await d.get('/v1/history?channel=box')).json.messages;
  for (const k of [0, 1]) {
    const own = stored.filter((m) => m.data[0] === k);
    assert.deepEqual(own.map((m) => m.data[1]), numbers(200));
    assert.deepEqual(own.map((m) => m.id), receipts[k]);
  }
});
