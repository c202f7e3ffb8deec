// SPDX-License-Identifier: MIT
// What is served and what is published: size, version, types, and a package that works where it is installed.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { claim, shared, assert } from '../wire/lib/claim.js';
import { Holdfast, bundle, root } from './lib/client.js';

const run = promisify(execFile);
const daemon = shared();
const version = /^\s*version: '(.*)',$/m.exec(fs.readFileSync(path.join(root, 'meson.build'), 'utf8'))[1];
const read = (name) => fs.readFileSync(path.join(root, 'client', name), 'utf8');

function folder(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hf-package-'));
  t.cleanup(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

claim('the broker serves the client as one module, with a tag, to pages of all origins', async (t) => {
  const d = await daemon(t);
  const a = await d.get('/holdfast.js');
  assert.equal(a.status, 200);
  assert.match(a.headers['content-type'], /^text\/javascript/);
  assert.equal(a.headers['access-control-allow-origin'], '*');
  assert.equal(a.text, fs.readFileSync(bundle, 'utf8'));
  assert.ok(a.text.startsWith(`/* Holdfast ${version}, MIT licence */`));
  assert.doesNotMatch(a.text, /^import\b/m);
  const again = await d.get('/holdfast.js', { headers: { 'if-none-match': a.headers.etag } });
  assert.deepEqual([again.status, again.headers.etag, again.text], [304, a.headers.etag, '']);
  assert.equal((await d.get('/holdfast.js', { headers: { 'if-none-match': a.headers.etag.replace('W/', '') } })).status, 304);
  assert.equal((await d.get('/holdfast.js', { headers: { 'if-none-match': '"other"' } })).status, 200);
  assert.equal((await d.request('HEAD', '/holdfast.js')).headers['content-length'], String(a.body.length));
  assert.equal((await d.post('/holdfast.js')).status, 405);
  const packed = await d.get('/holdfast.js', { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.equal(packed.text, a.text);
  assert.ok(Number(packed.headers['content-length']) < 12 * 1024, `${packed.headers['content-length']} bytes`);
  assert.equal(packed.headers.etag, a.headers.etag);
  const more = await d.get('/holdfast-more.js');
  assert.deepEqual([more.status, more.text], [200, fs.readFileSync(path.join(path.dirname(bundle), 'holdfast-more.js'), 'utf8')]);
  assert.notEqual(more.headers.etag, a.headers.etag);
});

claim('it has less than 12 KiB, gzipped', async () => {
  const size = zlib.gzipSync(fs.readFileSync(bundle), { level: 9 }).length;
  assert.ok(size < 12 * 1024, `${size} bytes`);
});

claim('there is one version', async () => {
  assert.equal(JSON.parse(read('package.json')).version, version);
  if (process.env.HOLDFAST_CLIENT !== 'src') assert.equal(Holdfast.version, version);
  assert.equal(read('LICENSE'), fs.readFileSync(path.join(root, 'LICENSE'), 'utf8'));
});

claim('packed, and installed from the tarball, it works against a broker', { ms: 60000 }, async (t) => {
  const d = await daemon(t);
  const dir = folder(t);
  fs.cpSync(path.join(root, 'client'), path.join(dir, 'client'), { recursive: true });
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', dir], { cwd: path.join(dir, 'client') });
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.indexOf('[\n')));
  assert.deepEqual(files.map((f) => f.path).sort(), ['LICENSE', 'README.md', 'holdfast-more.js', 'holdfast.d.ts', 'holdfast.js', 'package.json']);
  const app = path.join(dir, 'app');
  fs.mkdirSync(app);
  fs.writeFileSync(path.join(app, 'package.json'), '{"private":true,"type":"module"}');
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', path.join(dir, filename)], { cwd: app });
  fs.writeFileSync(path.join(app, 'app.js'), `
    import Holdfast, { Holdfast as Named, RefusedError } from 'holdfast-client';
    const client = new Holdfast(process.argv[2]);
    const messages = client.messages('a', { since: 0 });
    await client.publish('a', 'from a package');
    for await (const m of messages) {
      console.log(JSON.stringify([m.data, Named === Holdfast, Holdfast.version, typeof RefusedError]));
      break;
    }
    await client.close();`);
  const said = await run(process.execPath, ['app.js', d.base], { cwd: app });
  assert.deepEqual(JSON.parse(said.stdout), ['from a package', true, version, 'function']);
});

claim('the types are right for those who use them, and refuse what is wrong', { ms: 60000 }, async (t) => {
  const dir = folder(t);
  fs.copyFileSync(path.join(root, 'client/holdfast.d.ts'), path.join(dir, 'holdfast.d.ts'));
  fs.writeFileSync(path.join(dir, 'use.ts'), `
    import Holdfast, { ConnectionError, HoldfastError, type Message } from './holdfast';
    const client = new Holdfast('/', { token: async () => 'x', transports: ['sse'], outbox: { name: 'a' }, signal: new AbortController().signal });
    const sub = client.subscribe<{ a: number }>('a', { since: 0, onGap: (g) => g.reason.length }, (m) => m.data.a.toFixed());
    client.subscribe('b', (m, s) => s.ack(m));
    client.on('state', ({ state, retryIn }) => { const s: string = state; return [s, retryIn]; });
    async function use(): Promise<Message[]> {
      const jobs = client.messages<number>('jobs', { subscriber: 's' });
      for await (const job of jobs) { job.data.toFixed(); await jobs.ack(job); }
      const receipt = await client.publish('a', 1, { expect: 'none', ttl: 1 });
      await sub.ready;
      try { await client.close(); } catch (e) { if (e instanceof ConnectionError || e instanceof HoldfastError) e.code.length; }
      return receipt.duplicate ? client.history('a', { last: 3 }) : [];
    }
    void use;
    // @ts-expect-error there is no such transport
    new Holdfast('/', { transports: ['carrier pigeon'] });
    // @ts-expect-error data is a number here
    client.subscribe<number>('a', (m) => m.data.length);
    // @ts-expect-error it needs an address
    new Holdfast();
  `);
  const tsc = path.join(root, 'tests/node_modules/typescript/bin/tsc');
  await run(process.execPath, [tsc, '--noEmit', '--strict', '--target', 'es2020', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2020,dom', 'use.ts'], { cwd: dir })
    .catch((err) => assert.fail(err.stdout || err.message));
});

claim('no name that the types know is shortened', async () => {
  const types = read('holdfast.d.ts').replace(/\/\/.*$|\/\*[^]*?\*\//gm, '');
  const known = new Set(types.match(/\w+/g));
  assert.deepEqual(read('internal-names').trim().split(/\s+/).filter((name) => known.has(name)), []);
});

claim('what the types export is what the module exports', async () => {
  const module = await import(path.join(root, 'client/src/index.js'));
  const declared = [...read('holdfast.d.ts').matchAll(/^export (?:default |declare )?class (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual([...declared, 'default'].sort(), Object.keys(module).sort());
});

daemon.ends();
