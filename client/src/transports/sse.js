// SPDX-License-Identifier: MIT
// sse: an event stream read by fetch: unlike EventSource it sends headers, tells why it failed, and reconnects when we say so.
// `probe=1` asks the broker for a few events that come after some quiet. One that arrives after quiet and alone proves that nothing
// on the way waits for more bytes: a proxy that passes full buffers only brings it late, together with others. A stream that is
// never quiet is trusted when it flows; if it then stops and no probe came alone, its end is held back: the link is given up,
// and what was held back comes over the next.

import { ConnectionError } from '../errors.js';
import { onAbort } from '../wait.js';
import { Link } from './link.js';

// Text in any pieces → data of events (WHATWG HTML 9.2.6) and `retry:`. What kind of event it is stands in the data, too.
export class SseParser {
  constructor(onEvent, onRetry) {
    Object.assign(this, { onEvent, onRetry, rest: '', data: [] });
  }

  push(text) {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    lines.forEach((line) => this.line(line));
  }

  line(line) {
    if (!line) {
      if (this.data.length) this.onEvent(this.data.join('\n'));
      this.data = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (field === 'data') this.data.push(value);
    else if (field === 'retry') this.onRetry(parseInt(value, 10) || 0);
  }
}

const QUIET_MS = 50; // between a probe and what came before; the broker leaves at least 100
const FLOW_MS = 200;

export class SseLink extends Link {
  constructor(line, want) {
    super(line, 'sse', want);
    this.run().catch((err) => this.fail(err));
  }

  async run() {
    const { client, ctl, line } = this;
    const query = client.query(this.channels, { since: this.since, subscriber: line.subscriber, probe: 1 });
    const res = await client.http.call('/v1/sse', {
      query, headers: { Accept: 'text/event-stream' }, stream: true, signal: ctl.signal, timeout: client.options.healthTimeout,
    });
    const reader = res.body?.getReader();
    onAbort(ctl.signal, () => reader?.cancel().catch(() => {}));
    if (!reader || !/^text\/event-stream/.test(res.headers.get('content-type'))) throw new ConnectionError('bad_answer', 'not an event stream');
    let came; // types, in one piece of the stream
    const parser = new SseParser((data) => {
      const w = JSON.parse(data);
      came += w.type;
      this.take(w);
    }, (ms) => { this.retryAfter = ms; });
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (this.over) return;
      if (done) throw new Error('the event stream ended');
      const quiet = Date.now() - this.heardAt;
      this.heardAt = Date.now();
      came = '';
      parser.push(decoder.decode(value, { stream: true }));
      this.judge(quiet >= QUIET_MS && came === 'heartbeat' && !parser.rest);
    }
  }

  judge(alone) {
    if (this.settled || this.over) return;
    clearTimeout(this.tail);
    this.greetedAt ??= Date.now();
    this.settled = alone;
    if (alone || Date.now() - this.greetedAt > FLOW_MS) this.prove();
    if (alone || !this.proven) return;
    this.tail = setTimeout(() => {
      this.fail(new ConnectionError('held_back', 'sse: events are held back'), { avoid: true });
    }, this.client.options.healthTimeout);
  }

  shut() { clearTimeout(this.tail); }

  hello(w) { this.mark ??= w.cursor; }
}
