// SPDX-License-Identifier: MIT
// A hostile network: a fetch and a WebSocket that pass everything on to the real ones, and refuse, hold back or cut what
// the faults say. Whoever uses them can not tell it from a proxy, a gateway or a cable that does so.

const HELD_BYTES = 1 << 20; // a buffering proxy with more than that gives up

const refusal = (what) => new TypeError(`Failed to fetch: ${what}`);

// Which transport a request belongs to, as a proxy would see it.
export function kindOf(url, headers) {
  const { pathname, searchParams } = new URL(url, location.href);
  if (pathname === '/v1/sse' || /\btext\/event-stream\b/.test(headers.get('accept') ?? '')) return 'sse';
  if (pathname !== '/v1/poll' && pathname !== '/v1/subscribe') return 'other';
  return Number(searchParams.get('wait')) > 0 ? 'longpoll' : 'shortpoll';
}

// One thing that is open: cut() ends it as a torn cable would.
class Flow {
  error = undefined; // why it was cut
  #abort = new AbortController();
  #source;
  #network;

  // onEnd: called once, when it is over, however that came.
  constructor(network, kind, { source, onEnd } = {}) {
    this.kind = kind;
    this.onEnd = onEnd;
    this.#network = network;
    this.#source = source;
    network.flows.add(this);
    source?.addEventListener('abort', this.#follow, { once: true });
    if (source?.aborted) this.#follow();
  }

  #follow = () => this.#abort.abort(this.#source.reason);

  get signal() { return this.#abort.signal; }
  get isHeld() { return this.kind === 'sse' && this.#network.faults.sse; }

  cut(why) {
    this.error = refusal(why);
    this.#abort.abort(this.error);
    this.end();
  }

  end() {
    if (!this.#network.flows.delete(this)) return;
    this.#source?.removeEventListener('abort', this.#follow);
    this.onEnd?.();
  }
}

// The body of a response, chunk by chunk, held back while the network buffers it.
function gate(body, flow, network) {
  const reader = body.getReader();
  let held = [], bytes = 0, reading = null;

  // The next chunk, or nothing when only the faults have changed meanwhile.
  const next = () => new Promise((resolve, reject) => {
    reading ??= reader.read().finally(() => { reading = null; });
    reading.then(resolve, reject);
    network.onChange(flow, resolve);
  });

  return new ReadableStream({
    async pull(controller) {
      try {
        for (;;) {
          const news = await next();
          if (news?.value) {
            held.push(news.value);
            bytes += news.value.length;
            if (bytes > HELD_BYTES && flow.isHeld) flow.cut('the proxy has no room left');
          }
          if (flow.isHeld && !news?.done) continue;
          for (const chunk of held) controller.enqueue(chunk);
          if (news?.done) {
            flow.end();
            controller.close();
            return;
          }
          if (held.length) {
            held = [];
            bytes = 0;
            return;
          }
        }
      } catch (err) {
        flow.end();
        controller.error(flow.error ?? err);
      }
    },
    cancel(reason) {
      flow.end();
      return reader.cancel(reason).catch(() => {});
    },
  }, { highWaterMark: 0 });
}

export class Network {
  faults = { websocket: false, sse: false, longpoll: false, shortpoll: false, offline: false };
  flows = new Set();
  #polls = 0;
  #waiting = new Map(); // flow → whom to tell that a fault was set or lifted

  constructor() {
    const network = this;
    this.fetch = (input, init) => this.#fetch(input, init);
    this.WebSocket = class extends HostileSocket {
      constructor(url, protocols) { super(network, url, protocols); }
    };
  }

  // Set a fault, or lift it. What is open is cut by a new one, as when a laptop comes into another network, and the page is
  // told of it as the system tells: nothing has to wait longer than it must.
  set(name, on) {
    this.faults[name] = on;
    for (const tell of this.#waiting.values()) tell();
    this.#waiting.clear();
    dispatchEvent(new Event(this.faults.offline ? 'offline' : 'online'));
    if (!on) return;
    if (name === 'offline') this.cut('offline');
    else if (name !== 'shortpoll') this.cut(`the way of ${name} has changed`, name);
  }

  onChange(flow, tell) {
    this.#waiting.set(flow, tell);
  }

  cut(why, kind) {
    for (const flow of [...this.flows]) if (!kind || flow.kind === kind) flow.cut(why);
  }

  async #fetch(input, init) {
    const request = new Request(input, init);
    const kind = kindOf(request.url, request.headers);
    if (this.faults.offline) throw refusal('offline');
    if (kind === 'longpoll' && this.faults.longpoll) return new Response('', { status: 504, statusText: 'Gateway Timeout' });
    if (kind === 'shortpoll' && this.faults.shortpoll && this.#polls++ % 2 === 0) throw refusal('the request was lost');
    const flow = new Flow(this, kind, { source: request.signal, onEnd: () => this.#waiting.delete(flow) });
    try {
      const response = await fetch(new Request(request, { signal: flow.signal }));
      if (response.body) return new Response(gate(response.body, flow, this), response);
      flow.end();
      return response;
    } catch (err) {
      flow.end();
      throw flow.error ?? err;
    }
  }
}

class HostileSocket extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;
  CONNECTING = 0;
  OPEN = 1;
  CLOSING = 2;
  CLOSED = 3;
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  #real = null;
  #flow = null;
  #dead = false;
  #kind = 'blob';

  constructor(network, url, protocols) {
    super();
    this.url = String(url);
    for (const type of ['open', 'message', 'error', 'close']) this.addEventListener(type, (e) => this[`on${type}`]?.(e));
    if (network.faults.websocket || network.faults.offline) {
      setTimeout(() => this.#tear(), 0);
      return;
    }
    this.#real = new WebSocket(url, protocols);
    this.#flow = new Flow(network, 'websocket', { onEnd: () => this.#tear() });
    this.#real.onopen = () => this.#pass(new Event('open'));
    this.#real.onmessage = (e) => this.#pass(new MessageEvent('message', { data: e.data, origin: e.origin }));
    this.#real.onerror = () => this.#pass(new Event('error'));
    this.#real.onclose = ({ code, reason, wasClean }) => {
      this.#pass(new CloseEvent('close', { code, reason, wasClean }));
      this.#dead = true;
      this.#flow.end();
    };
  }

  #pass(event) {
    if (!this.#dead) this.dispatchEvent(event);
  }

  // As when the line is cut: nothing more arrives, and there was no closing handshake.
  #tear() {
    if (this.#dead) return;
    this.#dead = true;
    this.#real?.close();
    this.dispatchEvent(new Event('error'));
    this.dispatchEvent(new CloseEvent('close', { code: 1006, reason: '', wasClean: false }));
  }

  get readyState() {
    if (this.#dead) return HostileSocket.CLOSED;
    return this.#real ? this.#real.readyState : HostileSocket.CONNECTING;
  }

  get protocol() { return this.#real?.protocol ?? ''; }
  get extensions() { return this.#real?.extensions ?? ''; }
  get bufferedAmount() { return this.#real?.bufferedAmount ?? 0; }
  get binaryType() { return this.#real?.binaryType ?? this.#kind; }
  set binaryType(kind) {
    this.#kind = kind;
    if (this.#real) this.#real.binaryType = kind;
  }

  send(data) {
    if (this.readyState === HostileSocket.CONNECTING) throw new DOMException('Still in CONNECTING state', 'InvalidStateError');
    if (!this.#dead) this.#real.send(data);
  }

  close(code, reason) {
    if (this.#dead) return;
    if (this.#real) this.#real.close(code, reason);
    else setTimeout(() => this.#tear(), 0);
  }
}
