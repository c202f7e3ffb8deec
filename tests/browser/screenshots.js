#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// docs/images/demo-*.png: the demo page on a desktop, on a phone and in the dark, each while the network is broken.
// `./dev screenshots` runs it, with pngquant installed.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Daemon, root } from '../wire/lib/daemon.js';
import { Visitor, quit } from './demo-page.js';

const folder = path.join(root, 'docs/images');
const MOST = 150 * 1024;

const SHOTS = [
  { name: 'desktop', names: ['Ann', 'Bob'], viewport: { width: 1200, height: 1130 } },
  { name: 'dark', names: ['Cy', 'Dora'], viewport: { width: 1200, height: 1130 }, colorScheme: 'dark' },
  { name: 'phone', names: ['Eve', 'Finn'], viewport: { width: 390, height: 1560 } },
];

const TALK = [
  'Are you still on the train?',
  'Yes, and this Wi-Fi does not let WebSockets through.',
  'Your messages arrive all the same.',
  'It fell back to an event stream. I did not notice.',
];

async function shoot(d, { name, names, ...context }) {
  const ends = [], t = { cleanup: (fn) => ends.push(fn) }, hash = `/#demo:${name}`;
  const [v, other] = [await Visitor.come(t, d, { path: hash, ...context }), await Visitor.come(t, d, { path: hash })];
  for (const [i, one] of [v, other].entries()) {
    await one.page.fill('#name', names[i]);
    await one.page.press('#name', 'Tab');
    await one.connected('websocket');
    await one.traffic(10);
  }
  for (const [i, text] of TALK.entries()) {
    if (i === 1) {
      await v.toggle('websocket');
      await v.connected('sse');
    }
    await [other, v][i % 2].say(text);
    await v.hears(text);
  }
  const received = (n) => v.until((least) => Number(document.querySelector('#tally-received').textContent.replaceAll(',', '')) >= least, n);
  await v.traffic(50);
  await received(300);
  const before = await v.page.locator('#journal .transport').count();
  await v.page.click('#cut');
  await v.until((n) => document.querySelectorAll('#journal .transport').length > n, before);
  await v.traffic(10);
  await received(400);
  await other.page.locator('#say').pressSequentially('And now');
  await v.until(() => document.querySelector('#typing').textContent !== '');
  await v.page.evaluate(() => {
    document.activeElement.blur();
    scrollTo(0, 0);
  });
  const file = path.join(folder, `demo-${name}.png`);
  await v.page.screenshot({ path: file });
  execFileSync('pngquant', ['--speed', '1', '--quality', '80-98', '--nofs', '--strip', '--force', '--output', file, '128', file]);
  for (const end of ends) await end();
  const { size } = fs.statSync(file);
  if (size > MOST) throw new Error(`${file} has ${size} bytes, more than ${MOST}`);
  console.log(`${path.relative(root, file)}: ${Math.ceil(size / 1024)} KiB`);
}

fs.mkdirSync(folder, { recursive: true });
const d = await Daemon.start({ options: { 'server.workers': 2 } });
try {
  for (const shot of SHOTS) await shoot(d, shot);
} finally {
  await quit();
  await d.dispose();
}
