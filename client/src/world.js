// SPDX-License-Identifier: MIT
// world: what a browser tells of its network and of the page. "online" and "seen again" mean: try now, and see whether what
// we hold is still alive. "offline" is often wrong: it is shown, and changes nothing else.

export function watchWorld(client) {
  const { window: page, document } = globalThis;
  const on = (target, type, fn) => target?.addEventListener?.(type, fn, { signal: client.http.closed.signal });
  const hurry = () => document.visibilityState === 'visible' && client.hurry();
  on(page, 'online', () => {
    client.isOffline = false;
    client.hurry();
  });
  on(page, 'offline', () => {
    client.isOffline = true;
    for (const [line, state] of client.states) client.setState(line, state);
  });
  on(page, 'pageshow', hurry);
  on(document, 'resume', hurry); // it was frozen
  on(document, 'visibilitychange', hurry);
}
