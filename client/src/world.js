// SPDX-License-Identifier: MIT
// world: what a browser tells of its network and of the page. "online" and "seen again" mean: try now, and see whether what
// we hold is still alive. "offline" is often wrong: it is shown, and changes nothing else.

export function watchWorld(client) {
  const { window: page, document } = globalThis;
  if (!page?.addEventListener) return () => {};
  const on = [
    [page, 'online', () => {
      client.isOffline = false;
      client.hurry();
    }],
    [page, 'offline', () => {
      client.isOffline = true;
      for (const [line, state] of client.states) client.setState(line, state);
    }],
    [page, 'pageshow', (e) => { if (e.persisted) client.hurry(); }],
    [document, 'visibilitychange', () => { if (document.visibilityState === 'visible') client.hurry(); }],
  ].filter(([target]) => target);
  for (const [target, type, fn] of on) target.addEventListener(type, fn);
  return () => { for (const [target, type, fn] of on) target.removeEventListener(type, fn); };
}
