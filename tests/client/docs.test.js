// SPDX-License-Identifier: MIT
// Every example of docs/client.md and client/README.md, run against a broker. A driver per example, by the name in the comment before it.

import fs from 'node:fs';
import path from 'node:path';
import { claim, assert } from '../wire/lib/claim.js';
import { until } from '../wire/lib/wait.js';
import { Holdfast, WebSocket, root } from './lib/client.js';

const AsyncFunction = (async () => {}).constructor;
const config = { namespace: { presence: 'yes' }, 'namespace secret': { subscribe: 'admin' } };

function examples(file) {
  const found = new Map();
  const text = fs.readFileSync(path.join(root, file), 'utf8');
  for (const [, name, code] of text.matchAll(/(?:<!-- run: (\S+) -->\n)?```js\n([^]*?)```/g)) found.set(name ?? `without a name: ${code}`, code);
  return found;
}

// Run one: `client` and what the page has are given; results of show… are noted.
async function run(t, d, code, given = {}) {
  const shown = [];
  const made = [];
  class Tracked extends Holdfast {
    constructor(url, options) {
      super(url, { WebSocket, ...options, ...(options?.outbox && { outbox: 'memory' }) }); // there is no IndexedDB here
      made.push(this);
    }
  }
  t.cleanup(() => made.forEach((c) => c.close()));
  const shows = Object.fromEntries([...code.matchAll(/\bshow\w*/g)].map(([name]) => [name, (...args) => shown.push([name, ...args])]));
  const page = { ...shows, ...given };
  if (!/const client\b/.test(code)) page.client = new Tracked(d.base);
  const source = code.replace(/^import .*$/gm, '').replaceAll('https://push.example', d.base);
  const inner = [...source.matchAll(/^(?:const|let|async function) (\w+)/gm)].map(([, name]) => name);
  const body = `${source}\nreturn {${inner.join(', ')}};`;
  const done = new AsyncFunction('Holdfast', ...Object.keys(page), body)(Tracked, ...Object.values(page));
  done.catch(() => {}); // the driver looks at it
  return { shown, done, made, see: (want) => until(() => shown.some((s) => JSON.stringify(s) === JSON.stringify(want)), 10000, () => `${JSON.stringify(want)} among ${JSON.stringify(shown)}`) };
}

const json = (d, channel, data) => d.publish(channel, JSON.stringify(data), { type: 'application/json' });

const drivers = {
  async begin(t, d, code) {
    const r = await run(t, d, code);
    await r.done;
    await r.see(['show', { text: 'hello' }]);
  },

  async iterate(t, d, code) {
    for (const text of ['a', 'the end', 'after']) await d.publish('news', text);
    const r = await run(t, d, code);
    await r.done;
    assert.deepEqual(r.shown, [['show', 'a'], ['show', 'the end']]);
  },

  async outbox(t, d, code) {
    const r = await run(t, d, code);
    await r.done;
    assert.match(r.shown[0][1], /^\w+\.1$/);
  },

  async events(t, d, code) {
    const r = await run(t, d, code);
    await r.see(['show', 'connecting']);
    await r.see(['show', 'forbidden']);
  },

  async token(t, d, code) {
    let asked = 0;
    const r = await run(t, d, code, { fetch: async () => ({ json: async () => ({ token: `t${++asked}` }) }) });
    const { client } = await r.done;
    await client.publish('a', 1);
    assert.equal(asked, 1);
  },

  async chat(t, d, code) {
    const [ann, bob] = [await run(t, d, code, { me: 'Ann' }), await run(t, d, code, { me: 'Bob' })];
    const [a, b] = [await ann.done, await bob.done];
    await until(() => ann.shown.some(([f, , m]) => f === 'showPeople' && m.some((x) => x.info?.name === 'Bob')), 10000, 'Bob');
    const said = await a.say('hi');
    await until(() => bob.shown.some(([f, m]) => f === 'showMessage' && m.text === 'hi' && m.from === 'Ann'), 10000, 'the message');
    await until(() => a.readUpTo.get('Bob') === said.id, 10000, 'the read receipt');
    await b.typing();
    await ann.see(['showTyping', 'Bob']);
  },

  async notifications(t, d, code) {
    const r = await run(t, d, code);
    const page = await r.done;
    await page.inbox.ready;
    await until(async () => (await d.get('/v1/acks?subscriber=ann')).json.acks.length === 1, 5000, 'its position');
    await d.publish('user:ann', '1');
    const second = await d.publish('user:ann', '2');
    await r.see(['showBadge', 2]);
    await page.markAllRead();
    assert.equal((await d.get('/v1/acks?subscriber=ann')).json.acks[0].id, second.id);
    await d.publish('user:ann', '3');
    await r.see(['showBadge', 1]);
    const phone = await run(t, d, code);
    await phone.see(['showBadge', 1]);
  },

  async dashboard(t, d, code) {
    await json(d, 'figures:orders', 1);
    await json(d, 'figures:orders', 2);
    const r = await run(t, d, code);
    await r.see(['showFigure', 'orders', 2]);
    await r.see(['showState', 'connected']);
    await json(d, 'figures:load', 0.5);
    await r.see(['showFigure', 'load', 0.5]);
    assert.equal(r.shown.some(([, , value]) => value === 1), false);
  },

  async ai(t, d, code) {
    const parts = ['All ', 'good ', 'things'];
    await json(d, 'generation:7', { token: parts[0] });
    const before = await run(t, d, code, { id: 7 });
    await before.see(['showText', 'All ']);
    await json(d, 'generation:7', { token: parts[1] });
    const reloaded = await run(t, d, code, { id: 7 });
    await reloaded.see(['showText', 'All good ']);
    await json(d, 'generation:7', { token: parts[2] });
    await json(d, 'generation:7', { done: true });
    await Promise.all([before.done, reloaded.done]);
    for (const r of [before, reloaded]) assert.deepEqual(r.shown.at(-1), ['showText', 'All good things']);
  },

  async rendered(t, d, code) {
    await d.publish('news', 'in the page');
    const { cursor } = (await d.get('/v1/history?channel=news&last=20')).json;
    await d.publish('news', 'on its way');
    const r = await run(t, d, code, { document: { querySelector: () => ({ dataset: { cursor } }) } });
    await r.see(['show', 'on its way']);
    await d.publish('news', 'later');
    await r.see(['show', 'later']);
    assert.equal(r.shown.length, 2);
  },

  async worker(t, d, code) {
    const worked = [];
    const ctl = new AbortController();
    const r = await run(t, d, code, { signal: ctl.signal, work: async (data) => worked.push(data) });
    const position = async () => (await d.get('/v1/acks?subscriber=resizer')).json.acks[0]?.id;
    await until(position, 5000, 'its position');
    await d.publish('jobs', '1');
    const last = await d.publish('jobs', '2');
    await until(async () => await position() === last.id, 10000, 'acknowledgements');
    assert.deepEqual(worked, ['1', '2']);
    ctl.abort();
    await assert.rejects(r.done, { code: 'aborted' });
  },
};

for (const file of ['docs/client.md', 'client/README.md']) {
  const all = examples(file);
  claim(`${file} has examples`, async () => assert.ok(all.size > 0));
  for (const [name, code] of all) {
    claim(`${file}: ${name}`, async (t) => {
      assert.ok(drivers[name], 'nobody runs it');
      await drivers[name](t, await t.daemon({ config }), code);
    });
  }
}
