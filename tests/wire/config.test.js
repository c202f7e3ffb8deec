// SPDX-License-Identifier: MIT
// Options: where they come from, what is refused, reload.

import fs from 'node:fs';
import path from 'node:path';
import { claim, assert, refused } from './lib/claim.js';
import { makeFolder, runToEnd, flags } from './lib/daemon.js';
import { until } from './lib/wait.js';

function folder(t) {
  const dir = makeFolder();
  t.cleanup(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function conf(t, text) {
  const file = path.join(folder(t), 'test.conf');
  fs.writeFileSync(file, text);
  return file;
}

const base = (t) => flags({ 'server.listen': '127.0.0.1:0', 'server.data_dir': folder(t) });
const refuses = async (args, ...patterns) => {
  const end = await runToEnd(args);
  assert.ok(end.code > 0, `it ended with ${end.code}; stderr: ${end.stderr}`);
  for (const p of patterns) assert.match(end.stderr, p);
  return end;
};

claim('an unknown flag names the nearest', (t) => refuses([...base(t), '--server-worker=2'], /server-worker/, /server-workers/));
claim('a flag that does not exist at all is refused', (t) => refuses([...base(t), '--frobnicate'], /frobnicate/));
claim('a bad value is refused with what would be allowed', (t) => refuses([...base(t), '--server-workers=many'], /workers/, /many/));
claim('a value out of range is refused', (t) => refuses([...base(t), '--http-head-bytes=3'], /head.bytes/));
claim('a bad size is refused', (t) => refuses([...base(t), '--http-body-bytes=12 parsecs'], /body.bytes/));
claim('a bad duration is refused', (t) => refuses([...base(t), '--http-idle-timeout=soon'], /idle.timeout/));
claim('a bad choice is refused with the choices', (t) => refuses([...base(t), '--store-engine=mongodb'], /engine/, /sqlite/, /memory/));
claim('a bad address is refused', (t) => refuses(flags({ 'server.listen': 'nowhere', 'server.data_dir': folder(t) }), /nowhere/));

claim('an unknown option in the file is refused with file and line, and names the nearest', async (t) => {
  const file = conf(t, '[server]\nlisten = 127.0.0.1:0\n\n[delivery]\nhartbeat = 5s\n');
  const end = await refuses(['-c', file, ...base(t)], /hartbeat/, /heartbeat/);
  assert.ok(end.stderr.includes(`${file}:5`), end.stderr);
});

claim('an unknown section is refused with file and line', async (t) => {
  const file = conf(t, '[sever]\nlisten = 127.0.0.1:0\n');
  const end = await refuses(['-c', file, ...base(t)], /sever/, /server/);
  assert.match(end.stderr, /test\.conf:[12]/);
});

claim('a bad value in the file is refused with file and line', async (t) => {
  const file = conf(t, '# comment\n[limits]\nrecent_count = lots\n');
  const end = await refuses(['-c', file, ...base(t)], /recent_count/, /lots/);
  assert.ok(end.stderr.includes(`${file}:3`), end.stderr);
});

claim('a line that is no option is refused with file and line', async (t) => {
  const file = conf(t, '[server]\nthis is not an option\n');
  const end = await refuses(['-c', file, ...base(t)]);
  assert.ok(end.stderr.includes(`${file}:2`), end.stderr);
});

claim('an option given twice in the file is refused', (t) => refuses(['-c', conf(t, '[delivery]\nheartbeat = 5s\nheartbeat = 6s\n'), ...base(t)], /heartbeat/));
claim('an unknown option of a namespace is refused', (t) => refuses(['-c', conf(t, '[namespace a]\nhistory_cuont = 5\n'), ...base(t)], /history_cuont/, /history_count/));
claim('a bad namespace name is refused', (t) => refuses(['-c', conf(t, '[namespace a:b]\nhistory_count = 5\n'), ...base(t)], /test\.conf:1/, /namespace/));
claim('a file that does not exist is refused', (t) => refuses(['-c', '/nowhere/holdfast.conf', ...base(t)], /\/nowhere\/holdfast\.conf/));

claim('an unknown environment variable is refused, with the nearest', async (t) => {
  const end = await runToEnd(base(t), { env: { HOLDFAST_SERVER_LISTN: '127.0.0.1:0' } });
  assert.ok(end.code > 0);
  assert.match(end.stderr, /HOLDFAST_SERVER_LISTN/);
});

claim('--check-config says yes to a good file and does not start', async (t) => {
  const dir = folder(t);
  const file = conf(t, `[server]\nlisten = 127.0.0.1:0\ndata_dir = ${dir}/data\n[namespace a]\ndurability = sync\n`);
  const end = await runToEnd(['--check-config', '-c', file]);
  assert.equal(end.code, 0, end.stderr);
  assert.equal(fs.existsSync(`${dir}/data`), false);
});

claim('--check-config says no to a bad file', async (t) => {
  const file = conf(t, '[server]\nworkers = -1\n');
  const end = await runToEnd(['--check-config', '-c', file]);
  assert.ok(end.code > 0);
  assert.ok(end.stderr.includes(`${file}:2`), end.stderr);
});

claim('--help and --version answer on stdout with 0', async () => {
  const help = await runToEnd(['--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--server-listen/);
  const version = await runToEnd(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /\d+\.\d+/);
});

for (const listen of ['0.0.0.0:0', '*:0']) {
  claim(`listening on ${listen} with anonymous publish is refused, with what to do`, (t) =>
    refuses(flags({ 'server.listen': listen, 'server.data_dir': folder(t) }), /allow.anonymous.publish/));
}

claim('listening on every address is allowed when anonymous publish is, or when only the admin publishes', async (t) => {
  await t.daemon({ options: { 'server.listen': '127.0.0.1:0 0.0.0.0:0', 'server.allow_anonymous_publish': 'yes' } });
  await t.daemon({ options: { 'server.listen': '127.0.0.1:0 0.0.0.0:0' }, config: { namespace: { publish: 'admin' } } });
});

claim('one namespace with anonymous publish is enough to refuse a public address', async (t) => {
  const file = conf(t, '[namespace]\npublish = admin\n[namespace chat]\npublish = anyone\n');
  await refuses(['-c', file, ...flags({ 'server.listen': '0.0.0.0:0', 'server.data_dir': folder(t) })], /chat/);
});

claim('the command line wins over the environment, the environment over the file', async (t) => {
  const heartbeat = async (d) => {
    const s = await t.sse(d, '/v1/sse?channel=a');
    return (await s.hello()).json.heartbeat;
  };
  const config = { delivery: { heartbeat: '11s' } };
  assert.equal(await heartbeat(await t.daemon({ config })), 11);
  assert.equal(await heartbeat(await t.daemon({ config, env: { HOLDFAST_DELIVERY_HEARTBEAT: '12s' } })), 12);
  assert.equal(await heartbeat(await t.daemon({ config, env: { HOLDFAST_DELIVERY_HEARTBEAT: '12s' }, options: { 'delivery.heartbeat': '13s' } })), 13);
});

claim('the public API can be served on a Unix socket', async (t) => {
  const dir = folder(t);
  await t.daemon({ options: { 'server.listen': `127.0.0.1:0 unix:${dir}/public.sock` } });
  const c = await t.raw({ path: `${dir}/public.sock` });
  assert.equal((await c.ask('GET', '/healthz')).status, 200);
  refused(await c.ask('GET', '/v1/admin/stats'), 403, 'forbidden');
});

claim('a port that is taken is refused with its address', async (t) => {
  const d = await t.daemon();
  await refuses(flags({ 'server.listen': `127.0.0.1:${d.port}`, 'server.data_dir': folder(t) }), new RegExp(`127\\.0\\.0\\.1:${d.port}`));
});

claim('a stale admin socket of a dead daemon is no obstacle', async (t) => {
  const d = await t.daemon();
  await d.kill9();
  assert.ok(fs.existsSync(d.adminSocket));
  await d.launch();
  assert.equal((await d.admin('/healthz')).status, 200);
});

// SIGHUP.

const rewrite = (d, text) => fs.writeFileSync(path.join(d.dir, 'holdfast.conf'), text);

claim('SIGHUP takes over live options of namespaces', async (t) => {
  const d = await t.daemon({ config: { 'namespace a': { publish: 'anyone' } } });
  await d.publish('a:x', '1');
  rewrite(d, '[namespace a]\npublish = admin\n');
  d.signal('SIGHUP');
  await until(async () => (await d.post('/v1/publish?channel=a:x', '2')).status === 403, 5000, 'publishing to be refused');
});

claim('SIGHUP with a bad file changes nothing and says why', async (t) => {
  const d = await t.daemon({ config: { 'namespace a': { publish: 'admin' } } });
  const s = await t.sse(d, '/v1/sse?channel=a');
  await s.hello();
  const from = d.stderr.length;
  rewrite(d, '[namespace a]\npublish = nobody\n');
  d.signal('SIGHUP');
  await until(() => /nobody/.test(d.stderr.slice(from)), 5000, 'a word about it on stderr');
  refused(await d.post('/v1/publish?channel=a:x', '2'), 403, 'forbidden');
  await d.publish('a', 'still here');
  assert.equal((await s.message()).json.data, 'still here');
});

claim('SIGHUP says which changed options wait for a restart, and connections stay', async (t) => {
  const d = await t.daemon({ config: { delivery: { heartbeat: '25s' } } });
  const w = await t.ws(d, '/v1/ws');
  await w.hello();
  const from = d.stderr.length;
  rewrite(d, '[delivery]\nheartbeat = 5s\n');
  d.signal('SIGHUP');
  await until(() => /heartbeat/.test(d.stderr.slice(from)), 5000, 'a word about it on stderr');
  assert.equal((await w.command({ type: 'ping' })).type, 'pong');
});

claim('SIGHUP without a file is harmless', async (t) => {
  const d = await t.daemon();
  d.signal('SIGHUP');
  for (let i = 0; i < 5; i++) assert.equal((await d.get('/healthz')).status, 200);
});
