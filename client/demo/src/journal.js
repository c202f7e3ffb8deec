// SPDX-License-Identifier: MIT
// What happens: ids as they come, gaps, reconnects, changes of transport. Newest first, and only so many. It also proves
// from `prev` that no message is missing and none came twice.

import { byId, make, plain, setText, timeOf, TRANSPORTS } from './dom.js';

const LINES = 150;

export class Journal {
  #list = byId('journal');
  #growing = new Map(); // channel → the line of its messages, until something else happens
  #heads = new Map(); // channel → last id
  #trying = null; // the line of the attempts to come back, while there is no connection
  #links = 0;
  #holes = 0;
  #repeats = 0;

  constructor(link) {
    byId('journal-messages').addEventListener('change', (e) => this.#list.classList.toggle('brief', !e.target.checked));
    link.addEventListener('message', (e) => this.#message(e.detail));
    link.addEventListener('state', (e) => this.#state(e.detail));
    link.addEventListener('transport', (e) => this.#transport(e.detail));
    link.addEventListener('gap', (e) => this.#gap(e.detail));
    link.addEventListener('error', (e) => this.#error(e.detail));
    this.#count();
  }

  // kind: a word for the style; word: what is read.
  note(kind, word, text, id = '') {
    const line = make('li', { class: kind }, make('time', {}, timeOf(Date.now())), make('b', {}, word), make('span', {}, text));
    if (id) line.append(make('code', {}, id));
    this.#list.prepend(line);
    while (this.#list.children.length > LINES) this.#list.lastChild.remove();
    if (kind !== 'message') this.#growing.clear();
    return line;
  }

  #message(m) {
    if (!m.id) return;
    const before = this.#heads.get(m.channel);
    if (before === m.id) this.#repeats++;
    else if (before !== undefined && m.prev !== before) {
      this.#holes++;
      this.note('gap', 'hole', `${m.channel}: ${m.id} follows ${m.prev}, but ${before} was the last here`);
    } else if (before !== undefined) this.#links++;
    this.#heads.set(m.channel, m.id);
    this.#count();
    const line = this.#growing.get(m.channel);
    if (!line || !this.#list.contains(line.item)) {
      const item = this.note('message', m.channel, m.prev ? `after ${m.prev}` : 'the first of its channel', m.id);
      this.#growing.set(m.channel, { item, n: 1, first: m.id });
      return;
    }
    setText(line.item.children[2], `${plain(++line.n)} messages since ${line.first}`);
    setText(line.item.children[3], m.id);
  }

  // What a gap names is not there any more: the chain begins anew behind it.
  #gap(g) {
    this.#heads.delete(g.channel);
    this.note('gap', 'gap', `${g.channel}: ${g.from ?? 'the beginning'} to ${g.to ?? 'unknown'} is not there any more (${g.reason})`);
  }

  // However often it has to try: one line, as long as nothing else happens.
  #state({ state, retryIn, reason }) {
    if (state === 'connected') {
      this.#trying = null; // which transport it is is told next
    } else if (state === 'waiting') {
      const again = `again in ${plain((retryIn ?? 0) / 1000)} s`;
      const trying = this.#trying;
      if (trying && trying.item === this.#list.firstChild) {
        setText(trying.item.children[2], `${++trying.n} times; ${again}`);
      } else {
        this.#trying = { item: this.note('state', 'not connected', `${reason ?? 'the connection ended'}; ${again}`), n: 1 };
      }
    } else if (state === 'offline') {
      if (!this.#trying) this.#trying = { item: this.note('state', 'offline', 'so says the system'), n: 0 };
    }
  }

  // While it tries to come back, the first failure is told, and that it still tries.
  #error(err) {
    if (err.retryable && this.#trying) return;
    this.note('error', err.code ?? err.name, err.message);
  }

  #transport({ transport, previous, reason, ms }) {
    const from = previous && previous !== transport ? `${TRANSPORTS[previous]} → ` : '';
    this.note('transport', 'transport', `${from}${TRANSPORTS[transport]} after ${plain(ms)} ms${reason ? ` (${reason})` : ''}`);
  }

  #count() {
    setText(byId('chain'), `${plain(this.#links)} ids followed their prev; ${plain(this.#holes)} holes, ${plain(this.#repeats)} repeats`);
  }
}
