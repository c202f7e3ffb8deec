// SPDX-License-Identifier: MIT
// Everything that the page does, as a line for a terminal: with this origin, this channel and the last id seen.

import { byId, make, setText } from './dom.js';

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function linesOf({ channel, id }) {
  const url = (path, parameters = {}) => {
    const query = Object.entries(parameters).map(([k, v]) => `${k}=${encodeURIComponent(v).replaceAll('%3A', ':')}`).join('&');
    return quote(`${location.origin}/v1/${path}${query ? `?${query}` : ''}`);
  };
  const json = (value) => `-H 'Content-Type: application/json' -d ${quote(JSON.stringify(value))}`;
  const since = id ? { since: id } : { last: 10 };
  return [
    ['Say something', `curl ${url('publish', { channel })} ${json({ name: 'curl', text: 'hello' })}`],
    ['Say it once, however often it is sent', `curl ${url('publish', { channel })} -H 'Idempotency-Key: 4711' -d 'only once'`],
    ['Pretend to type (not stored)', `curl ${url('publish', { channel, ephemeral: 1 })} ${json({ typing: 'curl' })}`],
    ['Follow, as Server-Sent Events', `curl -N ${url('sse', { channel, last: 10 })}`],
    ['Come back to the last id seen here', `curl -N ${url('sse', { channel, ...since })}`],
    ['The same id with long polling', `curl ${url('poll', { channel, ...since, wait: 25 })}`],
    ['… and with short polling', `curl ${url('poll', { channel, ...since })}`],
    ['History', `curl ${url('history', { channel, last: 5 })}`],
    ['Who is here', `curl ${url('presence', { channel })}`],
    ['The figures of the charts', `curl -N ${url('sse', { channel: 'demo:stats', last: 1 })}`],
    ['What the broker offers', `curl ${url('info')}`],
  ];
}

// The clipboard is for secure contexts only; elsewhere the line is selected, to be copied by hand.
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return 'Copied';
  } catch {
    getSelection().selectAllChildren(code);
    return 'Selected: copy it with the keyboard';
  }
}

export class Curl {
  #codes = [];

  // Made once, so that the focus stays where it is when ids change.
  constructor() {
    const said = byId('copied');
    for (const [what] of linesOf({ channel: '', id: '' })) {
      const code = make('code', {}), button = make('button', { type: 'button', class: 'quiet', 'aria-label': `Copy: ${what}` }, 'Copy');
      button.addEventListener('click', async () => setText(said, await copy(code)));
      byId('lines').append(make('li', {}, make('h3', {}, what), make('pre', {}, code), button));
      this.#codes.push(code);
    }
  }

  show(now) {
    linesOf(now).forEach(([, line], i) => setText(this.#codes[i], line));
  }
}
