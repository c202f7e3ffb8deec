// SPDX-License-Identifier: MIT
// The command of the benchmarks: bench/run with a tenth of the clients. That it works, not how fast anything is.

import fs from 'node:fs';
import path from 'node:path';
import { claim, assert } from './lib/claim.js';
import { makeFolder, root, runToEnd } from './lib/daemon.js';

const bench = (args) => runToEnd(['-B', path.join(root, 'bench/run'), ...args], { bin: 'python3', ms: 120000 });

claim('bench/run measures its cases and tells figures, ratios and goals', { ms: 120000 }, async (t) => {
  const folder = makeFolder();
  t.cleanup(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'results.json');
  const r = await bench(['--quick', '--runs', '2', '--json', file, 'a16', 'g', 'd-sse']);
  assert.equal(r.code, 0, r.stdout + r.stderr);
  const { cases } = JSON.parse(fs.readFileSync(file, 'utf8'));
  assert.deepEqual(Object.keys(cases), ['a16', 'g', 'd-sse']);
  for (const [name, c] of Object.entries(cases)) {
    assert.ok(r.stdout.includes(`${name}: ${c.what}`), r.stdout);
    for (const [variant, figures] of Object.entries(c.variants)) {
      const first = figures[c.figures[0]];
      assert.ok(first.median > 0 && first.runs.length === 2, `${name} ${variant}: ${JSON.stringify(first)}`);
      assert.ok(first.min <= first.median && first.median <= first.max);
    }
    assert.ok(c.goals.every((g) => typeof g.met === 'boolean' && Number.isFinite(g.value)));
  }
  const { holdfast, floor } = cases.a16.variants;
  const ratio = cases.a16.ratios.cpu_us.holdfast.runs;
  assert.deepEqual(ratio, holdfast.cpu_us.runs.map((v, i) => v / floor.cpu_us.runs[i]));
});

claim('bench/run refuses what it does not know, and to write down quick figures', async () => {
  assert.equal((await bench(['nonsense'])).code, 2);
  assert.equal((await bench(['--quick', '--write', 'a1'])).code, 2);
  const list = await bench(['--list', 'd']);
  assert.deepEqual(list.stdout.trim().split('\n').map((line) => line.split(' ')[0]), ['d-ws', 'd-sse', 'd-longpoll']);
});
