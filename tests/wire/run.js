// SPDX-License-Identifier: MIT
// Run all wire tests: tests/run-wire [-j N] [-t PATTERN] [FILE…]. Files run side by side, each in a process of its own.
// Ends with one line `wire: N passed, N failed`; exit code 1 when something failed or nothing ran.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { holdfastd } from './lib/daemon.js';
import { scale } from './lib/wait.js';
import { seed } from './lib/random.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const FILE_LIMIT_MS = 240000 * scale;

let jobs = Number(process.env.HOLDFAST_TEST_JOBS || Math.max(2, os.cpus().length));
let pattern = null;
let files = [];
const args = process.argv.slice(2);
while (args.length) {
  const a = args.shift();
  if (a === '-j') jobs = Number(args.shift());
  else if (a === '-t') pattern = args.shift();
  else files.push(a);
}
// The client's own tests are among them: client/NAME.test.js, or `client` for all of these.
const list = (folder, prefix) => fs.readdirSync(path.join(here, folder)).filter((f) => f.endsWith('.test.js')).sort().map((f) => prefix + f);
const all = [...list('.', ''), ...list('../client', 'client/')];
const isNamed = (f, a) => f === path.basename(a) || f === `${a}.test.js` || `tests/${f}` === a || f.startsWith(`${a}/`);
files = files.length ? all.filter((f) => files.some((a) => isNamed(f, a))) : all;
// The long ones first, so that no single one is left for the end.
const LONG = ['restart', 'slow', 'badinput', 'resume', 'cli', 'diskfull', 'transports-agree', 'websocket-protocol', 'smuggling'];
const rank = (f) => (LONG.indexOf(f.replace('.test.js', '')) + 1 || LONG.length + 1);
files.sort((a, b) => rank(a) - rank(b));

const total = { passed: 0, failed: 0, skipped: 0 };
const failures = [];

function runFile(file) {
  return new Promise((resolve) => {
    const argv = [`--test-reporter=${path.join(here, 'lib/reporter.js')}`, '--test-reporter-destination=stdout'];
    if (pattern) argv.push(`--test-name-pattern=${pattern}`);
    const began = Date.now();
    const child = spawn(process.execPath, [...argv, path.join(here, file.startsWith('client/') ? '..' : '.', file)], { stdio: ['ignore', 'pipe', 'pipe'] });
    const count = { passed: 0, failed: 0, skipped: 0 };
    let rest = '', noise = '', over = false;
    const take = (line) => {
      let r;
      try { r = JSON.parse(line); } catch {
        noise += `${line}\n`;
        return;
      }
      if (r.suite || r.name === undefined || r.nesting > 0) return;
      if (r.skip !== null && r.ok) {
        if (!pattern) {
          count.skipped++;
          console.log(`skip  ${file}: ${r.name}${typeof r.skip === 'string' && r.skip ? ` (${r.skip})` : ''}`);
        }
      } else if (r.ok) count.passed++;
      else {
        count.failed++;
        failures.push({ file, name: r.name });
        console.log(`FAIL  ${file}: ${r.name}\n${String(r.error).replace(/^/gm, '      ')}\n`);
      }
    };
    child.stdout.on('data', (b) => {
      rest += b;
      const lines = rest.split('\n');
      rest = lines.pop();
      lines.filter(Boolean).forEach(take);
    });
    child.stderr.on('data', (b) => { noise = (noise + b).slice(-20000); });
    const timer = setTimeout(() => {
      over = true;
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 3000).unref();
    }, FILE_LIMIT_MS);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const ran = count.passed + count.failed + count.skipped;
      if (over || (code !== 0 && count.failed === 0) || (ran === 0 && !pattern)) {
        count.failed++;
        const why = over ? `did not end within ${FILE_LIMIT_MS} ms` : `ended with ${code ?? signal} after ${ran} tests`;
        failures.push({ file, name: why });
        console.log(`FAIL  ${file}: ${why}\n${noise.replace(/^/gm, '      ')}\n`);
      }
      for (const k of Object.keys(total)) total[k] += count[k];
      console.log(`${count.failed ? 'FAIL' : 'ok  '}  ${file}: ${count.passed} passed, ${count.failed} failed${count.skipped ? `, ${count.skipped} skipped` : ''} in ${((Date.now() - began) / 1000).toFixed(1)} s`);
      resolve();
    });
  });
}

if (!fs.existsSync(holdfastd)) {
  console.log(`There is no ${holdfastd}; build it (ninja -C build) or set HOLDFASTD.`);
  console.log('wire: 0 passed, 1 failed');
  process.exit(1);
}

const queue = [...files];
const began = Date.now();
await Promise.all([...Array(Math.max(1, jobs))].map(async () => {
  while (queue.length) await runFile(queue.shift());
}));

if (failures.length) {
  console.log(`\nFailed (seed ${seed}):`);
  for (const f of failures) console.log(`  ${f.file}: ${f.name}`);
}
if (total.skipped) console.log(`${total.skipped} skipped`);
console.log(`${files.length} files in ${((Date.now() - began) / 1000).toFixed(1)} s`);
console.log(`wire: ${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed || !total.passed ? 1 : 0);
