// SPDX-License-Identifier: MIT
// ids: what may be known of an id (docs/protocol.md, Words): "<epoch>.<seq>"; within one epoch a larger seq is later.

const epochOf = (id) => id.slice(0, id.lastIndexOf('.'));
const seqOf = (id) => id.slice(id.lastIndexOf('.') + 1);

export const sameEpoch = (a, b) => epochOf(a) === epochOf(b);

// Is a later than b? seq has up to 63 bits, more than a number holds: longer is larger, else as text. Ids of different
// logs can not be compared: neither is later.
export function isLater(a, b) {
  if (!sameEpoch(a, b)) return false;
  const [x, y] = [seqOf(a), seqOf(b)];
  return x.length === y.length ? x > y : x.length > y.length;
}

// Before everything of the log that id is of.
export const beginOf = (id) => `${epochOf(id)}.0`;

export const earlier = (a, b) => (a === undefined || (b !== undefined && isLater(a, b)) ? b : a);

// A name that nobody else has; no secret. (Node 18 has no global crypto.)
export const random = () => [0, 1, 2].map(() => Math.random().toString(36).slice(2)).join('');
