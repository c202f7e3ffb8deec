// SPDX-License-Identifier: MIT
// sse: an event stream read by fetch: unlike EventSource it sends headers, tells why it failed, and reconnects when we say so.
// `probe=1` asks the broker for an event shortly after hello: it proves that nothing on the way waits for more bytes.

import { ConnectionError } from '../errors.js';
import { onAbort } from '../wait.js';
import { Link } from './link.js';

// Text in any pieces → {event, data} (WHATWG HTML 9.2.6). `retry:` is told apart.
export class SseParser {
  constructor(onEvent, onRetry) {
    Object.assign(this, { onEvent, onRetry, rest: '', event: '', data: [] });
  }

  push(text) {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    lines.forEach((line) => this.line(line));
  }

  line(line) {
    if (!line) {
      if (this.data.length) this.onEvent(this.event, this.data.join('\n'));
      this.event = '';
      this.data = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (field === 'data') this.data.push(value);
    else if (field === 'event') this.event = value;
    else if (field === 'retry' && /^\d+$/.test(value)) this.onRetry(Number(value));
  }
}

export class SseLink extends Link {
  constructor(line, want) {
    super(line, 'sse', want);
    this.run().catch((err) => this.fail(err));
  }

  async run() {
    const { client, ctl, line } = this;
    const query = [...client.channelQuery(this.channels), ['since', this.since], ['subscriber', line.subscriber], ['probe', '1'], ...client.sessionQuery()];
    const res = await client.http.call('/v1/sse', {
      query, headers: { Accept: 'text/event-stream' }, stream: true, signal: ctl.signal, timeout: client.options.healthTimeout,
    });
    const reader = res.body?.getReader();
    onAbort(ctl.signal, () => reader?.cancel().catch(() => {}));
    if (!reader || !/^text\/event-stream/.test(res.headers.get('content-type'))) throw new ConnectionError('bad_answer', 'not an event stream');
    const parser = new SseParser((event, data) => {
      const w = JSON.parse(data);
      this.take(w);
      if (w.type === 'heartbeat') this.prove();
    }, (ms) => { line.retry = ms; });
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (this.over) return;
      if (done) throw new ConnectionError('closed', 'the event stream ended');
      this.heardAt = Date.now();
      parser.push(decoder.decode(value, { stream: true }));
    }
  }

  hello(w) { this.mark ??= w.cursor; }
}
