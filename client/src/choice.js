// SPDX-License-Identifier: MIT
// choice: which transport to try first. What proved itself is remembered per origin, for a time; what did not live long
// is put behind the others for a time.

const ORDER = ['websocket', 'sse', 'longpoll', 'shortpoll'];
const REMEMBER_MS = 24 * 3600 * 1000;

export class Choice {
  constructor(client) {
    const { transports = ORDER, remember = true } = client.options;
    this.client = client;
    this.wanted = transports;
    this.avoided = {}; // name → until when
    this.key = `holdfast:transport:${client.http.base}`;
    this.remember = remember;
    try {
      const [name, at] = JSON.parse(remember && localStorage.getItem(this.key));
      if (at > Date.now() - REMEMBER_MS) this.last = name;
    } catch { /* there is none */ }
  }

  // Those that can work here, best first.
  offered() {
    const { options, info } = this.client;
    const can = { websocket: options.WebSocket ?? globalThis.WebSocket, sse: globalThis.ReadableStream, longpoll: 1, shortpoll: 1 };
    return this.wanted.filter((name) => can[name] && (info?.transports ?? ORDER).includes(name));
  }

  // To be tried one after the other: what worked, those behind it, then the better ones; avoided ones last.
  order() {
    const all = this.offered();
    const at = Math.max(0, all.indexOf(this.last));
    const late = (name) => this.avoided[name] > Date.now();
    return [...all.slice(at), ...all.slice(0, at)].sort((a, b) => late(a) - late(b));
  }

  better(name) {
    const all = this.offered();
    return all.slice(0, Math.max(0, all.indexOf(name)));
  }

  worked(name) {
    this.last = name;
    try { if (this.remember) localStorage.setItem(this.key, JSON.stringify([name, Date.now()])); } catch { /* there is none, it is full, or forbidden */ }
  }

  avoid(name) { this.avoided[name] = Date.now() + this.client.options.upgradeAfter; }
}
