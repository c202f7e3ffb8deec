// SPDX-License-Identifier: MIT
// websocket: all channels over one socket. Proven when the subscription was confirmed: that is a round trip after hello.

import { ConnectionError, refusal, wantsToken } from '../errors.js';
import { deferred } from '../wait.js';
import { Link } from './link.js';

export class WebSocketLink extends Link {
  constructor(line, want) {
    super(line, 'websocket', want);
    this.want = want;
    this.refs = 0;
    this.asked = new Map();
    const { http, options } = this.client;
    const url = http.url('/v1/ws', [['session', this.client.session]]).replace(/^http/, 'ws');
    const socket = this.socket = new (options.WebSocket ?? globalThis.WebSocket)(url, 'holdfast.v1.json');
    socket.onmessage = ({ data }) => {
      let w;
      try { w = JSON.parse(data); } catch { return this.fail(new ConnectionError('bad_answer', 'a frame that is no JSON')); }
      this.take(w);
    };
    socket.onerror = socket.onclose = (e) => this.fail(new ConnectionError('closed', `the WebSocket was closed${e.code ? ` (${e.code})` : ''}`));
  }

  shut() {
    const { socket } = this;
    socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    if (socket.terminate && socket.readyState !== 1) socket.terminate(); // Node's `ws` would wait
    else socket.close();
    for (const { reject } of this.asked.values()) reject(new ConnectionError('closed', 'the connection ended before the answer'));
    this.asked.clear();
  }

  // A frame, and its reply.
  ask(frame) {
    const d = deferred();
    if (this.over) return Promise.reject(new ConnectionError('closed', 'the connection is closed'));
    const ref = ++this.refs;
    this.asked.set(ref, d);
    this.socket.send(JSON.stringify({ ...frame, ref }));
    return d.promise;
  }

  other(w) {
    const d = this.asked.get(w.ref);
    this.asked.delete(w.ref);
    if (w.type === 'error') {
      const err = refusal(w);
      if (d) d.reject(err);
      else if (wantsToken(err)) this.present(true).catch((e) => this.fail(e));
      else this.client.failed(err);
    } else d?.resolve(w);
  }

  async hello() {
    try {
      await this.present();
      await this.subscribe([...this.channels], this.since);
      this.prove();
    } catch (err) {
      this.fail(err);
    }
  }

  // A browser's socket carries no headers: the token goes in a frame. A broker without authentication does not know it.
  async present(anew) {
    const { http } = this.client;
    const token = await http.token(anew);
    if (!token) return;
    try {
      await this.ask({ type: 'auth', token });
    } catch (err) {
      if (err.code === 'unknown_type' || err.code === 'not_supported') return;
      if (anew || typeof http.source !== 'function' || !wantsToken(err)) throw err;
      await this.present(true);
    }
  }

  async subscribe(channels, since) {
    const reply = await this.ask({
      type: 'subscribe', channels, ...(since !== undefined && { since }),
      ...(this.line.subscriber && { subscriber: this.line.subscriber }),
      ...(this.client.options.presence !== undefined && { info: this.client.options.presence }),
    });
    if (this.mark === undefined) this.mark = reply.cursor ?? undefined;
    return reply;
  }

  join(channels, since) { return this.subscribe(channels, since); }

  leave(channel) { this.ask({ type: 'unsubscribe', channel }).catch(() => {}); }

  verify() {
    if (Date.now() - this.heardAt < this.heartbeat / 2 || this.pinged) return;
    const at = this.pinged = Date.now();
    this.ask({ type: 'ping' }).catch(() => {});
    this.timer = setTimeout(() => {
      this.pinged = 0;
      if (this.heardAt < at) this.fail(new ConnectionError('silent', 'no answer to a ping'));
    }, this.client.options.healthTimeout);
  }
}
