// SPDX-License-Identifier: MIT
// websocket: all channels over one socket. Proven when the subscription was confirmed: that is a round trip after hello.

import { ConnectionError, refusal, wantsToken } from '../errors.js';
import { Link } from './link.js';

export class WebSocketLink extends Link {
  constructor(line, want) {
    super(line, 'websocket', want);
    const { http, options } = this.client;
    const url = http.url('/v1/ws', [['session', this.client.session]]).replace(/^http/, 'ws');
    const socket = this.socket = new (options.WebSocket ?? globalThis.WebSocket)(url, 'holdfast.v1.json');
    socket.onmessage = ({ data }) => {
      try { this.take(JSON.parse(data)); } catch (err) { this.fail(err); }
    };
    socket.onerror = socket.onclose = (e) => this.fail(new ConnectionError('closed', `the WebSocket was closed (${e.code ?? 'not opened'})`));
  }

  shut() {
    const { socket } = this;
    socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    if (socket.terminate && socket.readyState !== 1) socket.terminate(); // Node's `ws` would wait
    else socket.close();
  }

  // A frame, and its reply.
  ask(frame) { return this.question((ref) => this.socket.send(JSON.stringify({ ...frame, ref }))); }

  other(w) {
    const err = w.type === 'error' && refusal(w);
    if (this.answer(w.ref, err, w) || !err) return;
    if (wantsToken(err)) this.present(true).catch((e) => this.fail(e));
    else this.client.failed(err);
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
