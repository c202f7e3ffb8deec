// SPDX-License-Identifier: MIT
// What a page does in these tests, and a Node program as well: it follows channels and reports all that it is told. The function is
// sent into pages as text, so it uses nothing from around it.

export async function follow({ client, url, channels, options = {}, subscribe = { since: 0 } }, report = globalThis.report) {
  const { Holdfast } = await import(client);
  const began = performance.now();
  const tell = (kind, detail) => report({ kind, at: performance.now() - began, ...detail });
  const hf = new Holdfast(url, options);
  globalThis.holdfast = hf;
  hf.on('transport', (e) => tell('transport', e));
  hf.on('state', (e) => tell('state', e));
  hf.on('gap', (e) => tell('gap', { gap: e }));
  hf.on('error', (e) => tell('error', { code: e.code, message: e.message }));
  for (const channel of channels) {
    hf.subscribe(channel, subscribe, (m) => tell('message', { channel: m.channel, id: m.id, data: m.data }));
  }
  return hf;
}
