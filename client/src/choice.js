// SPDX-License-Identifier: MIT
// choice: which transport to try first. What proved itself is remembered per origin, for a time; what did not live long
// is put behind the others for a time.

const ORDER = ['websocket', 'sse', 'longpoll', 'shortpoll'];
const REMEMBER_MS = 24 * 3600 * 1000;

const store = () => {
  try { return globalThis.localStorage; } catch { return undefined; } // forbidden to this page
};

export class Choice {
  constructor(client) {
    const { transports = ORDER, remember = true } = client.options;
    this.client = client;
    this.wanted = transports;
    this.avoided = new Map(); // name → until when
    this.key = `holdfast:transport:${client.http.base}`;
    this.remember = remember;
    if (!transports.length || transports.some((name) => !ORDER.includes(name))) throw new TypeError(`transports: some of ${ORDER}`);
    try {
      const { name, at } = JSON.parse((remember && store()?.getItem(this.key)) ?? '{}');
      if (at > Date.now() - REMEMBER_MS) this.last = name;
    } catch { /* not ours */ }
  }

  // Those that can work here, best first.
  offered() {
    const { options, info } = this.client;
    const can = { websocket: options.WebSocket ?? globalThis.WebSocket, sse: globalThis.ReadableStream && globalThis.TextDecoder };
    return this.wanted.filter((name) => (can[name] ?? !(name in can)) && (info?.transports ?? ORDER).includes(name));
  }

  // To be tried one after the other: what worked, those behind it, then the better ones; avoided ones last.
  order() {
    const all = this.offered();
    const at = Math.max(0, all.indexOf(this.last));
    const turned = [...all.slice(at), ...all.slice(0, at)];
    const late = (name) => (this.avoided.get(name) ?? 0) > Date.now();
    return [...turned.filter((n) => !late(n)), ...turned.filter(late)];
  }

  better(name) {
    const all = this.offered();
    return all.slice(0, Math.max(0, all.indexOf(name)));
  }

  worked(name) {
    this.last = name;
    if (!this.remember) return;
    try { store()?.setItem(this.key, JSON.stringify({ name, at: Date.now() })); } catch { /* full, or forbidden */ }
  }

  avoid(name, ms) { this.avoided.set(name, Date.now() + ms); }
}
