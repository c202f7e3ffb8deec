// SPDX-License-Identifier: MIT
// The demo page in a browser: one Chromium for a file of tests, a page per visitor, and what the page says.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { scale } from '../wire/lib/wait.js';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const executablePath = process.env.HOLDFAST_CHROMIUM || '/usr/bin/chromium';

let browser = null;

export async function launch() {
  browser ??= await chromium.launch({ executablePath, args: ARGS });
  return browser;
}

export async function quit() {
  await browser?.close();
  browser = null;
}

// One visitor. Everything that a page must not do is noted in `faults`.
export class Visitor {
  faults = [];

  static async come(t, d, { path = '/', ...context } = {}) {
    const v = new Visitor();
    v.origin = d.base;
    v.context = await (await launch()).newContext({ viewport: { width: 1280, height: 900 }, ...context });
    t.cleanup(() => v.context.close());
    v.context.setDefaultTimeout(15000 * scale);
    v.page = await v.context.newPage();
    await v.page.addInitScript(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', (e) => window.violations.push(`${e.violatedDirective}: ${e.blockedURI}`));
    });
    v.page.on('pageerror', (err) => v.faults.push(`error: ${err.stack ?? err}`));
    v.page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) v.faults.push(`console: ${m.text()}`); });
    v.page.on('request', (r) => { if (!/^(data:|blob:)/.test(r.url()) && new URL(r.url()).origin !== v.origin) v.faults.push(`request: ${r.url()}`); });
    v.page.on('websocket', (w) => { if (new URL(w.url()).host !== new URL(v.origin).host) v.faults.push(`socket: ${w.url()}`); });
    await v.page.goto(v.origin + path);
    return v;
  }

  async wellBehaved() {
    assert.deepEqual([...this.faults, ...await this.page.evaluate(() => window.violations)], []);
  }

  // Wait until fn(argument), run in the page, is true.
  until(fn, argument) { return this.page.waitForFunction(fn, argument); }

  async connected(over) {
    try {
      return await this.until((words) => document.querySelector('#status').dataset.state === 'connected' && (!words || document.querySelector('#status').dataset.transport === words), over);
    } catch (err) {
      err.message += `\nwanted: ${over}; the page: ${await this.text('#status')}\n${await this.page.$$eval('#journal li', (all) => all.map((li) => li.textContent).join('\n'))}`;
      throw err;
    }
  }

  text(selector) { return this.page.textContent(selector); }

  async say(text) {
    await this.page.fill('#say', text);
    await this.page.press('#say', 'Enter');
  }

  // Until the log's copy of this text stands in the chat; gives its id.
  async hears(text) {
    await this.until((words) => [...document.querySelectorAll('#messages li[data-id] p')].some((p) => p.textContent === words), text);
    return this.page.evaluate((words) => [...document.querySelectorAll('#messages li[data-id]')].find((li) => li.querySelector('p').textContent === words).dataset.id, text);
  }

  // [[id, text]…] of all that stands in the chat.
  said() { return this.page.$$eval('#messages li[data-id]', (all) => all.map((li) => [li.dataset.id, li.querySelector('p').textContent])); }

  toggle(name) { return this.page.click(`#switches input[name=${name}]`); }
  choose(transport) { return this.page.check(`input[name=transport][value=${transport}]`); }
  traffic(rate) { return this.page.check(`input[name=traffic][value="${rate}"]`); }

  // Numbered messages: stop, wait for those on the way, and insist that none is missing and none came twice.
  async settled() {
    await this.traffic(0);
    await this.until(() => document.querySelector('#tally-waiting').textContent === '0');
    const tally = await this.page.$$eval('.tally dd', (all) => Object.fromEntries(all.map((dd) => [dd.id.slice(6), Number(dd.textContent.replaceAll(',', ''))])));
    assert.deepEqual({ lost: tally.lost, repeated: tally.repeated, received: tally.received }, { lost: 0, repeated: 0, received: tally.sent });
    assert.match(await this.text('#chain'), / 0 holes, 0 repeats$/);
    return tally;
  }
}
