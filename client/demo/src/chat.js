// SPDX-License-Identifier: MIT
// The chat of one channel: its last messages, what comes, what is being sent, who is here and who types.

import { byId, make, setText, timeOf, word } from './dom.js';
import { People } from './people.js';

const KEPT = 200;
const HISTORY = 50;
const TYPING_EVERY_MS = 1500;
const TYPING_LASTS_MS = 3500;
const TYPERS = 20;
const HUES = 6;

function hueOf(name) {
  let sum = 0;
  for (const c of name) sum = (sum * 31 + c.codePointAt(0)) >>> 0;
  return sum % HUES;
}

// What people, curl and other programs publish: {"name", "text"}, any other JSON, or plain text.
function read(data) {
  if (data && typeof data === 'object' && typeof data.text === 'string') {
    return { name: String(data.name ?? 'somebody').slice(0, 40), text: data.text, nonce: data.nonce };
  }
  return { name: 'curl', text: typeof data === 'string' ? data : JSON.stringify(data) };
}

export class Chat {
  channel = '';
  name = '';
  lastId = '';
  #link;
  #word;
  #people;
  #list = byId('messages');
  #sending = new Map(); // nonce → its line
  #typing = new Map(); // name → timer
  #told = 0;
  #follow = null;

  constructor(link, mine, name) {
    this.#link = link;
    this.#word = mine;
    this.name = name;
    this.#people = new People(byId('people'), mine);
    byId('compose').addEventListener('submit', (e) => this.#submit(e));
    byId('say').addEventListener('input', () => this.#tellTyping());
    link.addEventListener('state', () => this.#showSending());
  }

  open(channel) {
    this.#follow?.close();
    this.channel = channel;
    this.lastId = '';
    this.#sending.clear();
    for (const timer of this.#typing.values()) clearTimeout(timer);
    this.#typing.clear();
    this.#showTyping();
    this.#people.clear();
    this.#list.replaceChildren(make('li', { class: 'empty' }, 'Nothing was said here yet. Open this page in another tab, or use curl.'));
    this.#follow = this.#link.follow(channel, {
      last: HISTORY,
      presence: true,
      onPresence: (event) => this.#people.take(event),
      onGap: (gap) => this.#add(make('li', { class: 'gap' }, `Messages up to ${gap.to ?? 'an unknown one'} are not kept any more (${gap.reason}).`)),
      onError: (err) => this.#people.clear(err.code === 'not_supported' ? 'Presence is switched off for this channel.' : err.message),
    }, (m) => this.#take(m));
  }

  #take(m) {
    if (m.data && typeof m.data === 'object' && typeof m.data.typing === 'string') {
      if (m.data.word !== this.#word) this.#heardTyping(m.data.typing.slice(0, 40));
      return;
    }
    const said = read(m.data), mine = said.nonce && this.#sending.get(said.nonce);
    if (m.id) this.lastId = m.id;
    this.#stopTyping(said.name);
    if (mine) {
      this.#sending.delete(said.nonce);
      this.#seal(mine, m);
      this.#add(mine); // where the log has it
    } else {
      this.#add(this.#line(said, m, m.data?.word === this.#word));
    }
  }

  #line({ name, text }, m, isMine) {
    const meta = make('small', {});
    const line = make('li', { class: isMine ? 'mine' : undefined },
      make('span', { class: `face hue-${hueOf(name)}`, 'aria-hidden': 'true' }, [...name][0]?.toUpperCase() ?? '?'),
      make('div', { class: 'bubble' }, make('b', {}, name), make('p', {}, text), meta));
    if (m) this.#seal(line, m);
    return line;
  }

  // It has its place in the log.
  #seal(line, m) {
    line.classList.remove('pending', 'failed');
    if (m.id) line.dataset.id = m.id;
    line.querySelector('small').replaceChildren(make('time', {}, timeOf(m.ts)), make('code', {}, m.id ?? 'not stored'));
  }

  #add(line) {
    const list = this.#list;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    list.querySelector('.empty')?.remove();
    list.append(line);
    for (const pending of this.#sending.values()) if (pending !== line) list.append(pending);
    while (list.children.length > KEPT) list.firstChild.remove();
    if (atEnd || line.classList.contains('mine')) list.scrollTop = list.scrollHeight;
  }

  async #submit(event) {
    event.preventDefault();
    const input = byId('say'), text = input.value.trim();
    if (!text) return;
    const nonce = word(), channel = this.channel;
    const line = this.#line({ name: this.name, text }, null, true);
    line.classList.add('pending');
    input.value = '';
    this.#told = 0;
    this.#sending.set(nonce, line);
    this.#showSending();
    this.#add(line);
    try {
      await this.#link.publish(channel, { name: this.name, text, nonce, word: this.#word });
    } catch (err) {
      if (!this.#sending.delete(nonce)) return;
      line.classList.add('failed');
      setText(line.querySelector('small'), `not sent: ${err.message}`);
    }
  }

  #showSending() {
    const text = this.#link.client.state === 'connected' ? 'on its way' : 'waits for the network';
    for (const line of this.#sending.values()) setText(line.querySelector('small'), text);
  }

  // --- typing: told by messages that are not stored ---

  #tellTyping() {
    if (Date.now() - this.#told < TYPING_EVERY_MS || !byId('say').value) return;
    this.#told = Date.now();
    this.#link.hint(this.channel, { typing: this.name, word: this.#word });
  }

  #heardTyping(name) {
    if (!this.#typing.has(name) && this.#typing.size >= TYPERS) return;
    clearTimeout(this.#typing.get(name));
    this.#typing.set(name, setTimeout(() => this.#stopTyping(name), TYPING_LASTS_MS));
    this.#showTyping();
  }

  #stopTyping(name) {
    clearTimeout(this.#typing.get(name));
    this.#typing.delete(name);
    this.#showTyping();
  }

  #showTyping() {
    const names = [...this.#typing.keys()];
    const text = names.length === 0 ? '' : names.length > 2 ? 'Several people are typing' : `${names.join(' and ')} ${names.length > 1 ? 'are' : 'is'} typing`;
    setText(byId('typing'), text);
  }
}
