// SPDX-License-Identifier: MIT
// message: wire form (docs/protocol.md, Messages and events) ↔ what applications see.

import { isLater, sameEpoch } from './ids.js';

const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function toBase64(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

export function fromWire(w) {
  const m = { channel: w.channel, ts: w.ts, data: w.encoding === 'base64' ? fromBase64(w.data) : w.data };
  if (w.id) {
    m.id = w.id;
    if (w.prev) m.prev = w.prev;
  } else {
    m.ephemeral = true;
  }
  if (w.redelivered) m.redelivered = w.redelivered;
  if (w.content_type) m.type = w.content_type;
  return m;
}

// {data, encoding?, content_type?} as in a publish frame. Bytes are binary, text with a type of its own is that text, all
// else is JSON.
export async function toWire(data, type) {
  if (data instanceof ArrayBuffer) data = new Uint8Array(data);
  else if (ArrayBuffer.isView(data)) data = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  else if (typeof Blob !== 'undefined' && data instanceof Blob) {
    type ??= data.type || undefined;
    data = new Uint8Array(await data.arrayBuffer());
  }
  const w = {};
  if (type) w.content_type = type;
  if (data instanceof Uint8Array) Object.assign(w, { data: toBase64(data), encoding: 'base64' });
  else if (data === undefined) throw new TypeError('data is undefined');
  else w.data = JSON.parse(JSON.stringify(data)); // as it is now, whatever the caller does to it later
  return w;
}

// The same as a body and its type.
export function toBody({ data, encoding, content_type: type }) {
  if (encoding) return [fromBase64(data), type ?? 'application/octet-stream'];
  if (typeof data === 'string' && type && !/[/+]json\b/.test(type)) return [data, type];
  return [JSON.stringify(data), type ?? 'application/json'];
}

// Gaps and messages of one reply as one sequence: a gap stands before the first message that is later than what is missing.
export function* inOrder(gaps = [], messages = []) {
  let i = 0;
  for (const w of messages) {
    for (; i < gaps.length; i++) {
      const { to } = gaps[i];
      if (to && sameEpoch(to, w.id) && isLater(to, w.id)) break;
      yield gaps[i];
    }
    yield w;
  }
  yield* gaps.slice(i);
}
