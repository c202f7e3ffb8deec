// SPDX-License-Identifier: MIT
// The few things that all parts of the page do with the document.

export const byId = (id) => document.getElementById(id);

// make('li', {class: 'gap'}, 'text', node…)
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
export const timeOf = (ms) => clock.format(ms);

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
export const plain = (n) => number.format(n);

// crypto.randomUUID() is for secure contexts only, and a broker in the local network is none.
export function word(bytes = 8) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (b) => b.toString(16).padStart(2, '0')).join('');
}

export const TRANSPORTS = { websocket: 'WebSocket', sse: 'SSE', longpoll: 'long polling', shortpoll: 'short polling' };
