// SPDX-License-Identifier: MIT
// Who is here: the list that the broker gives, and what it tells of those who come and go.

import { make, TRANSPORTS } from './dom.js';

const SHOWN = 12;

export class People {
  #list;
  #mine; // a word in the presence info by which a page knows itself
  #members = new Map(); // session → member

  constructor(list, mine) {
    this.#list = list;
    this.#mine = mine;
  }

  clear(text = '') {
    this.#members.clear();
    this.#list.replaceChildren(...(text ? [make('li', { class: 'note' }, text)] : []));
  }

  take({ type, members }) {
    if (type === 'presence') this.#members.clear();
    for (const m of members) {
      if (type === 'leave') this.#members.delete(m.session);
      else this.#members.set(m.session, m);
    }
    this.#show();
  }

  #show() {
    // A page that has changed its name or transport is there under its former session until the grace period is over.
    const byWord = new Map();
    for (const m of this.#members.values()) {
      const word = m.info?.word ?? m.session, known = byWord.get(word);
      if (!known || m.connections > 0 && m.since_ts >= known.since_ts) byWord.set(word, m);
    }
    const all = [...byWord].sort(([a, m], [b, n]) => (b === this.#mine) - (a === this.#mine) || m.since_ts - n.since_ts);
    const items = all.slice(0, SHOWN).map(([word, m]) => {
      const name = String(m.info?.name ?? 'somebody').slice(0, 40);
      return make('li', { class: word === this.#mine ? 'me' : undefined }, make('span', {}, word === this.#mine ? `${name} (you)` : name), make('small', {}, TRANSPORTS[m.transport] ?? m.transport));
    });
    if (all.length > SHOWN) items.push(make('li', {}, `and ${all.length - SHOWN} more`));
    this.#list.replaceChildren(...items);
  }
}
