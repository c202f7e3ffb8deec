// SPDX-License-Identifier: MIT
// The demo page as people meet it: what it asks for, what it does when the network is broken, and whether everybody can use it.

import { execFile } from 'node:child_process';
import { after } from 'node:test';
import { promisify } from 'node:util';
import { claim, shared, assert, fresh } from '../wire/lib/claim.js';
import { Visitor, quit } from './demo-page.js';

const daemon = shared({ options: { 'server.workers': 2, 'presence.grace': '1s' } });
const run = promisify(execFile);
const LONG = { ms: 60000 };
const room = () => `/#demo:${fresh('room')}`;

// --- what it asks for ---

for (const colorScheme of ['light', 'dark']) {
  claim(`the page asks nobody else for anything, and breaks no rule (${colorScheme})`, LONG, async (t) => {
    const v = await Visitor.come(t, await daemon(t), { path: room(), colorScheme });
    await v.connected('websocket');
    await v.until(() => /\d/.test(document.querySelector('#figure-published').textContent));
    await v.say('hello');
    await v.hears('hello');
    await v.wellBehaved();
  });
}

claim('the charts are drawn with the figures of this broker', LONG, async (t) => {
  const v = await Visitor.come(t, await daemon(t), { path: room() });
  await v.until(() => /published and .* delivered per second/.test(document.querySelector('#rate-summary').textContent));
  await v.until(() => /saw its last message after [\d.]+ ms.*A commit takes [\d.]+ ms/.test(document.querySelector('#latency-summary').textContent));
  for (const id of ['rate-chart', 'latency-chart']) {
    await v.until((name) => {
      const canvas = document.getElementById(name), { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const colours = new Set();
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) colours.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
      return colours.size > 3; // axes, text, and lines
    }, id);
  }
});

// --- the chat ---

claim('two visitors see each other, what they say, and that they type', LONG, async (t) => {
  const d = await daemon(t), path = room();
  const [a, b] = [await Visitor.come(t, d, { path }), await Visitor.come(t, d, { path })];
  await a.page.fill('#name', 'Ann');
  await a.page.press('#name', 'Tab');
  await b.page.fill('#name', 'Bob');
  await b.page.press('#name', 'Tab');
  for (const v of [a, b]) {
    await v.connected();
    await v.until(() => /Ann/.test(document.querySelector('#people').textContent) && /Bob/.test(document.querySelector('#people').textContent));
  }
  await a.page.locator('#say').pressSequentially('hello from Ann');
  await b.until(() => document.querySelector('#typing').textContent === 'Ann is typing');
  await a.page.press('#say', 'Enter');
  const id = await b.hears('hello from Ann');
  await b.until(() => document.querySelector('#typing').textContent === '');
  assert.equal(await a.hears('hello from Ann'), id);
  await b.say('hello from Bob');
  await a.hears('hello from Bob');
  assert.deepEqual(await a.said(), await b.said());
  assert.equal((await a.said()).length, 2);
  await b.context.close();
  await a.until(() => !/Bob/.test(document.querySelector('#people').textContent));
  await a.wellBehaved();
});

claim('a page that comes later has what was said, and text is only text', LONG, async (t) => {
  const d = await daemon(t), path = room(), evil = '<img src=x onerror="window.hit=1"><b>x</b>';
  const a = await Visitor.come(t, d, { path });
  await a.connected();
  await a.say(evil);
  const id = await a.hears(evil);
  await d.publish(path.slice(2), 'said by curl');
  await d.publish(path.slice(2), '[1,2]', { type: 'application/json' });
  const b = await Visitor.come(t, d, { path });
  await b.hears('said by curl');
  await b.hears('[1,2]');
  assert.equal(await b.hears(evil), id);
  assert.equal(await b.page.evaluate(() => window.hit), undefined);
  await a.page.reload();
  await a.hears(evil);
  assert.deepEqual(await a.said(), await b.said());
  for (const v of [a, b]) await v.wellBehaved();
});

claim('another channel is another room, also by the address', LONG, async (t) => {
  const d = await daemon(t), [one, two] = [room(), room()];
  const v = await Visitor.come(t, d, { path: one });
  await v.connected();
  await v.say('in the first');
  await v.hears('in the first');
  await v.page.fill('#channel', two.slice(2));
  await v.page.click('#where button');
  await v.say('in the second');
  await v.hears('in the second');
  assert.equal((await v.said()).length, 1);
  await v.page.goBack();
  await v.hears('in the first');
  assert.equal((await v.said()).length, 1);
});

claim('a publish that is refused is said to be', LONG, async (t) => {
  const d = await t.daemon({ config: { 'namespace demo': { publish: 'admin' } } });
  const v = await Visitor.come(t, d);
  await v.connected();
  await v.until(() => document.querySelector('input[name=traffic][value="0"]').checked);
  await v.say('not allowed');
  await v.until(() => /^not sent: ./.test(document.querySelector('#messages .failed small')?.textContent ?? ''));
});

claim('without presence the chat goes on and says so', LONG, async (t) => {
  const d = await t.daemon({ config: { 'namespace demo': { presence: 'no' } } });
  const v = await Visitor.come(t, d);
  await v.until(() => document.querySelector('#people').textContent === 'Presence is switched off for this channel.');
  await v.say('all the same');
  await v.hears('all the same');
});

claim('lists are bounded', LONG, async (t) => {
  const d = await daemon(t), path = room();
  const v = await Visitor.come(t, d, { path });
  await v.connected();
  await d.publish(path.slice(2), Array.from({ length: 300 }, (_, i) => `line ${i}`).join('\n'), { query: '&batch=lines' });
  await v.hears('line 299');
  assert.equal(await v.page.locator('#messages li').count(), 200);
  await v.page.evaluate(() => { for (let i = 0; i < 160; i++) document.querySelector('#switches input[name=shortpoll]').click(); });
  assert.equal(await v.page.locator('#journal li').count(), 150);
});

// --- the network ---

const TRANSPORTS = ['websocket', 'sse', 'longpoll', 'shortpoll'];

claim('any transport can be chosen, and nothing is lost or comes twice between them', LONG, async (t) => {
  const d = await daemon(t), path = room();
  const [v, other] = [await Visitor.come(t, d, { path }), await Visitor.come(t, d, { path })];
  await v.connected('websocket');
  await v.traffic(10);
  for (const transport of [...TRANSPORTS, 'sse', 'longpoll', 'websocket']) {
    await v.choose(transport);
    await v.connected(transport);
    await v.say(`by ${transport}`);
    await v.hears(`by ${transport}`);
    await other.hears(`by ${transport}`);
  }
  const tally = await v.settled();
  assert.ok(tally.sent > 10, `${tally.sent} sent`);
  assert.deepEqual(await v.said(), await other.said());
  assert.equal((await v.said()).length, 7);
  await v.wellBehaved();
});

claim('whoever chooses again and again, from the first moment on, loses nothing either', LONG, async (t) => {
  const v = await Visitor.come(t, await daemon(t), { path: room() });
  await v.traffic(50);
  for (let round = 0; round < 3; round++) for (const transport of ['sse', 'websocket', 'longpoll']) await v.choose(transport);
  await v.until(() => document.querySelector('#tally-received').textContent !== '0');
  // not one of these has begun when the next is wanted
  await v.page.evaluate(() => { for (const t of ['sse', 'websocket', 'longpoll']) document.querySelector(`input[name=transport][value=${t}]`).click(); });
  await v.connected('longpoll');
  await v.until(() => Number(document.querySelector('#tally-received').textContent) > 50);
  await v.settled();
});

claim('each switch takes a transport away, the page goes on with the next, and comes back to the best', LONG, async (t) => {
  const d = await daemon(t), path = room();
  const [v, other] = [await Visitor.come(t, d, { path }), await Visitor.come(t, d, { path })];
  await v.connected('websocket');
  await v.traffic(10);
  const falls = [['websocket', 'sse'], ['sse', 'longpoll'], ['longpoll', 'shortpoll'], ['shortpoll', 'shortpoll']];
  for (const [fault, next] of falls) {
    await v.toggle(fault);
    await v.connected(next);
    await other.say(`while ${fault} is broken`);
    await v.hears(`while ${fault} is broken`);
  }
  for (const [fault] of falls) await v.toggle(fault);
  await v.connected('websocket');
  await v.settled();
  assert.deepEqual(await v.said(), await other.said());
  assert.equal((await v.said()).length, falls.length);
  const told = await v.page.$$eval('#journal .transport span', (all) => all.map((s) => s.textContent).reverse().join('\n'));
  for (const change of [/WebSocket → SSE/, /SSE → long polling/, /long polling → short polling/, /→ WebSocket /]) assert.match(told, change);
});

claim('what is cut comes back where it was', LONG, async (t) => {
  const d = await daemon(t);
  const v = await Visitor.come(t, d, { path: room() });
  for (const transport of TRANSPORTS) {
    await v.choose(transport);
    await v.connected(transport);
    await v.traffic(10);
    const before = await v.page.locator('#journal .transport').count();
    await v.page.click('#cut');
    // a poll that is cut is simply asked again
    if (!/poll/.test(transport)) await v.until((n) => document.querySelectorAll('#journal .transport').length > n, before);
    await v.connected(transport);
    await v.settled();
  }
  await v.wellBehaved();
});

claim('what is said offline waits, and is there once when the network is back', LONG, async (t) => {
  const d = await daemon(t), path = room();
  const [v, other] = [await Visitor.come(t, d, { path }), await Visitor.come(t, d, { path })];
  await v.connected();
  await other.connected();
  await v.toggle('offline');
  await v.until(() => document.querySelector('#status').dataset.state !== 'connected');
  await v.say('said in the tunnel');
  await v.until(() => document.querySelector('#messages .pending small')?.textContent === 'waits for the network');
  await other.say('said meanwhile');
  await other.hears('said meanwhile');
  await v.toggle('offline');
  await v.hears('said in the tunnel');
  await v.hears('said meanwhile');
  await other.hears('said in the tunnel');
  assert.equal(await v.page.locator('#messages .pending').count(), 0);
  assert.deepEqual(await v.said(), await other.said());
  assert.equal((await v.said()).length, 2);
  await v.settled();
});

claim('what can not be had any more is told as a gap', LONG, async (t) => {
  const d = await t.daemon({ config: { 'namespace demo': { history_count: 3 } } });
  const v = await Visitor.come(t, d);
  await v.connected();
  await d.publish('demo:chat', 'before');
  await v.hears('before');
  await v.toggle('offline');
  await v.until(() => document.querySelector('#status').dataset.state !== 'connected');
  for (let i = 0; i < 20; i++) await d.publish('demo:chat', `missed ${i}`);
  await d.untilMetric('holdfast_messages_trimmed_total', (n) => n >= 18);
  await v.toggle('offline');
  await v.hears('missed 19');
  await v.until(() => /are not kept any more \(retention\)/.test(document.querySelector('#messages .gap')?.textContent ?? ''));
  await v.until(() => [...document.querySelectorAll('#journal .gap')].some((li) => /demo:chat.*retention/.test(li.textContent)));
  assert.match(await v.text('#chain'), / 0 holes, 0 repeats$/);
});

claim('a client that fell back tries the better transport soon after the system tells of another network', LONG, async (t) => {
  const v = await Visitor.come(t, await daemon(t), { path: room() });
  const waited = await v.page.evaluate(async () => {
    const { Holdfast } = await import('/holdfast.js');
    let tries = 0, tried = () => {};
    class Blocked extends EventTarget {
      constructor() {
        super();
        tries++;
        tried();
        setTimeout(() => this.onclose?.({}), 0);
      }
      close() {}
    }
    const client = new Holdfast(location.origin, { WebSocket: Blocked, remember: false, upgradeAfter: 300 });
    client.subscribe('other', () => {});
    const until = (n) => new Promise((resolve) => { tried = () => { if (tries >= n) resolve(); }; });
    await until(5); // after 300, 600, 1200 and 2400 ms; it would be 4800 ms to the next
    const began = performance.now(), next = until(6);
    dispatchEvent(new Event('online'));
    await next;
    client.close();
    return performance.now() - began;
  });
  assert.ok(waited < 3000, `${waited} ms`);
});

// --- curl ---

claim('every curl line does what it says', LONG, async (t) => {
  const d = await daemon(t), path = room();
  const v = await Visitor.come(t, d, { path, permissions: ['clipboard-read', 'clipboard-write'] });
  await v.connected();
  await v.say('so that there is an id');
  const id = await v.hears('so that there is an id');
  await v.until((word) => [...document.querySelectorAll('.curl code')].some((c) => c.textContent.includes(word)), id);
  const lines = await v.page.$$eval('.curl li', (all) => all.map((li) => [li.querySelector('h3').textContent, li.querySelector('code').textContent]));
  assert.equal(lines.length, 11);
  const answers = {};
  for (const [what, line] of lines) {
    assert.ok(line.includes(d.base), line);
    const { stdout } = await run('sh', ['-c', `${line.replace(/^curl/, 'curl -s -m 2')}; code=$?; [ $code = 0 ] || [ $code = 28 ]`]);
    answers[what] = stdout;
  }
  await v.hears('hello');
  await v.hears('only once');
  assert.equal(JSON.parse(answers['Say something']).durability, 'commit');
  assert.match(answers['Follow, as Server-Sent Events'], /^id: .*\ndata: .*so that there is an id/m);
  assert.match(answers['Come back to the last id seen here'], /event: hello/);
  assert.doesNotMatch(answers['Come back to the last id seen here'], /so that there is an id/);
  for (const what of ['The same id with long polling', '… and with short polling']) assert.ok(JSON.parse(answers[what]).messages.length >= 2, what);
  assert.ok(JSON.parse(answers.History).messages.length >= 3);
  assert.ok(JSON.parse(answers['Who is here']).members.some((m) => m.transport === 'websocket' && m.info.name));
  assert.match(answers['The figures of the charts'], /"interval_ms"/);
  assert.equal(JSON.parse(answers['What the broker offers']).name, 'holdfast');
  await v.page.click('.curl li:last-child button');
  await v.until(() => document.querySelector('#copied').textContent === 'Copied');
  assert.equal(await v.page.evaluate(() => navigator.clipboard.readText()), `curl '${d.base}/v1/info'`);
});

// --- for everybody ---

claim('everything can be done with the keyboard, and what has the focus is seen', LONG, async (t) => {
  const d = await daemon(t);
  const v = await Visitor.come(t, d, { path: room() });
  await v.connected();
  const { keyboard } = v.page;
  const focus = () => v.page.evaluate(() => {
    const e = document.activeElement, shown = e.matches('.segments input') ? e.nextElementSibling : e;
    return { what: e.id || e.name || e.getAttribute('aria-label') || e.textContent, outline: getComputedStyle(shown).outlineStyle, width: parseFloat(getComputedStyle(shown).outlineWidth), type: e.type, value: e.value };
  });
  await keyboard.press('Tab');
  assert.equal((await focus()).what, 'Skip to the chat');
  await keyboard.press('Enter');
  await keyboard.type('by keyboard');
  await keyboard.press('Enter');
  await v.hears('by keyboard');
  const met = [];
  for (let i = 0; i < 60; i++) {
    const now = await focus();
    if (now.what === 'Copy: What the broker offers') break;
    assert.ok(now.outline !== 'none' && now.width >= 2, `the focus on ${now.what} is not seen`);
    met.push(now.what);
    if (now.what === 'websocket') await keyboard.press('Space');
    if (now.what === 'transport' && now.value === 'auto') await keyboard.press('ArrowLeft'); // the last one
    if (now.what === 'journal-messages') await keyboard.press('Space');
    await keyboard.press('Tab');
  }
  for (const what of ['cut', 'transport', 'websocket', 'sse', 'longpoll', 'shortpoll', 'offline', 'traffic', 'How this works', 'journal-messages', 'journal', 'Copy: Say something']) assert.ok(met.includes(what), `${what} was not reached: ${met}`);
  await v.connected('shortpoll');
  assert.equal(await v.page.isChecked('#switches input[name=websocket]'), true);
  assert.equal(await v.page.locator('#journal .message').first().isVisible(), false);
});

claim('every control has a name, every id is there once, and there is one heading of the first order', LONG, async (t) => {
  const v = await Visitor.come(t, await daemon(t), { path: room() });
  await v.connected();
  const found = await v.page.evaluate(() => ({
    nameless: [...document.querySelectorAll('button, input, summary, a, [tabindex="0"]')].filter((e) => !(e.getAttribute('aria-label') || e.labels?.[0]?.textContent.trim() || e.textContent.trim())).map((e) => e.outerHTML),
    twice: [...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i),
    dangling: [...document.querySelectorAll('[aria-labelledby], [aria-describedby], label[for]')].flatMap((e) => [e.getAttribute('aria-labelledby'), e.getAttribute('aria-describedby'), e.getAttribute('for')]).filter((id) => id && !document.getElementById(id)),
    headings: [...document.querySelectorAll('h1, h2, h3')].map((h) => h.tagName),
    live: document.querySelector('#messages').getAttribute('aria-live'),
    language: document.documentElement.lang,
  }));
  assert.deepEqual([found.nameless, found.twice, found.dangling], [[], [], []]);
  assert.equal(found.headings[0], 'H1');
  assert.equal(found.headings.filter((h) => h === 'H1').length, 1);
  assert.equal(found.live, 'polite');
  assert.equal(found.language, 'en');
});

for (const width of [320, 360, 390, 768, 1024, 1440]) {
  claim(`nothing sticks out sideways at ${width} px`, LONG, async (t) => {
    const v = await Visitor.come(t, await daemon(t), { path: room(), viewport: { width, height: 800 }, hasTouch: width < 700, isMobile: width < 700 });
    await v.connected();
    await v.say('x'.repeat(500));
    await v.hears('x'.repeat(500));
    await v.page.click('summary');
    await v.page.click('#cut');
    await v.connected();
    const { wide, over } = await v.page.evaluate(() => ({
      wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      over: [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5 && !e.closest('.unseen')).map((e) => e.outerHTML.slice(0, 80)),
    }));
    assert.deepEqual([wide, over], [0, []]);
    const small = await v.page.$$eval('button, .segments label, #switches label, input:not([type])', (all) => all.map((e) => [e.textContent || e.id, e.getBoundingClientRect().height]).filter(([, h]) => h < 24));
    assert.deepEqual(small, [], 'targets of less than 24 px');
  });
}

// WCAG 2.1, 1.4.3: every text against what is behind it.
function contrasts() {
  const numbers = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const over = ([r, g, b, a = 1], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const light = (c) => c.map((x) => x / 255).map((x) => (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)).reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) layers.push(numbers(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()), style = getComputedStyle(e);
    if (!(text || e.placeholder) || style.visibility === 'hidden' || !e.getClientRects().length) continue;
    const back = behind(e), [a, b] = [light(back), light(over(numbers(style.color), back))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    found.push({ what: `${e.tagName}.${e.className}#${e.id} ${e.textContent.trim().slice(0, 20)}`, ratio, needed });
  }
  return { n: found.length, bad: found.filter(({ ratio, needed }) => ratio < needed) };
}

for (const colorScheme of ['light', 'dark']) {
  claim(`all text has the contrast that WCAG AA asks for (${colorScheme})`, LONG, async (t) => {
    const d = await t.daemon({ config: { 'namespace demo': { history_count: 3 } } });
    const v = await Visitor.come(t, d, { colorScheme });
    await v.connected();
    await v.say('mine');
    await v.hears('mine');
    await v.toggle('offline');
    await v.until(() => document.querySelector('#status').dataset.state !== 'connected');
    for (const name of ['Ann', 'Bob', 'Cy', 'Dora', 'Eve', 'Fay', 'Gus', 'Hal']) await d.publish('demo:chat', JSON.stringify({ name, text: 'hi' }), { type: 'application/json' });
    await d.untilMetric('holdfast_messages_trimmed_total', (n) => n >= 6);
    await v.toggle('offline');
    await v.until(() => document.querySelector('#messages .gap'));
    await v.toggle('offline');
    await v.say('waiting');
    await v.until(() => document.querySelector('#messages .pending'));
    await v.page.click('summary');
    const light = await v.page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).every((n) => n > 128));
    assert.equal(light, colorScheme === 'light');
    const { n, bad } = await v.page.evaluate(contrasts);
    assert.ok(n > 80, `only ${n} texts were seen`);
    assert.deepEqual(bad, []);
  });
}

claim('who wants no motion sees none', LONG, async (t) => {
  const v = await Visitor.come(t, await daemon(t), { path: room(), reducedMotion: 'reduce' });
  await v.connected();
  await v.toggle('offline');
  await v.until(() => document.querySelector('#status').dataset.state !== 'connected');
  assert.equal(await v.page.evaluate(() => document.getAnimations().length), 0);
});

after(quit);
daemon.ends();
