// SPDX-License-Identifier: MIT
// The raw bytes of JSON members, for comparing what must be equal byte for byte.

// End (exclusive) of the JSON value that begins at i.
export function valueEnd(s, i) {
  if (s[i] === '"') {
    for (let k = i + 1; ; k++) {
      if (k >= s.length) throw new Error('unended JSON string');
      if (s[k] === '\\') k++;
      else if (s[k] === '"') return k + 1;
    }
  }
  if (s[i] === '{' || s[i] === '[') {
    let depth = 0;
    for (let k = i; k < s.length; k++) {
      if (s[k] === '"') k = valueEnd(s, k) - 1;
      else if (s[k] === '{' || s[k] === '[') depth++;
      else if ((s[k] === '}' || s[k] === ']') && --depth === 0) return k + 1;
    }
    throw new Error('unended JSON value');
  }
  const m = /[\s,\]}]|$/.exec(s.slice(i));
  return i + m.index;
}

const skip = (s, i) => {
  while (' \t\r\n'.includes(s[i]) && i < s.length) i++;
  return i;
};

// The raw text of the elements of the array that begins at i.
export function elements(s, i = 0) {
  if (s[i] !== '[') throw new Error('no array');
  const out = [];
  let k = skip(s, i + 1);
  while (s[k] !== ']') {
    const end = valueEnd(s, k);
    out.push(s.slice(k, end));
    k = skip(s, end);
    if (s[k] === ',') k = skip(s, k + 1);
  }
  return out;
}

// [name, raw value] of the members of an object, in order.
export function members(s, i = 0) {
  if (s[i] !== '{') throw new Error('no object');
  const out = [];
  let k = skip(s, i + 1);
  while (s[k] !== '}') {
    const nameEnd = valueEnd(s, k);
    const name = JSON.parse(s.slice(k, nameEnd));
    k = skip(s, nameEnd);
    if (s[k] !== ':') throw new Error('no colon');
    k = skip(s, k + 1);
    const end = valueEnd(s, k);
    out.push([name, s.slice(k, end)]);
    k = skip(s, end);
    if (s[k] === ',') k = skip(s, k + 1);
  }
  return out;
}

export function member(s, name) {
  return members(s).find(([n]) => n === name)?.[1];
}

// The raw `messages` of a poll or history reply.
export function rawMessages(text) {
  return elements(member(text, 'messages'));
}

export function parts(id) {
  const at = id.lastIndexOf('.');
  return { epoch: id.slice(0, at), seq: BigInt(id.slice(at + 1)) };
}

export function compareIds(a, b) {
  const x = parts(a), y = parts(b);
  if (x.epoch !== y.epoch) throw new Error(`ids of two epochs: ${a} and ${b}`);
  return x.seq < y.seq ? -1 : x.seq > y.seq ? 1 : 0;
}
