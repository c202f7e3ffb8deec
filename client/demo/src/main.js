// SPDX-License-Identifier: MIT
// The demo page: a client of the broker like any other, behind a network that the visitor can break.
//
//   main ── network (fetch, WebSocket) ──▶ link (the client) ──▶ chat · figures · traffic · journal
//
// The channel stands in the URL's fragment, the name in the tab's storage.

import { Holdfast } from '/holdfast.js';
import { Chat } from './chat.js';
import { Curl } from './curl.js';
import { byId, setText, TRANSPORTS, word } from './dom.js';
import { Figures } from './figures.js';
import { Journal } from './journal.js';
import { Link } from './link.js';
import { Network } from './network.js';
import { Traffic } from './traffic.js';

const NAMES = ['Avocet', 'Curlew', 'Dunlin', 'Eider', 'Fulmar', 'Gannet', 'Heron', 'Kestrel', 'Osprey', 'Plover', 'Sanderling', 'Tern'];
const CHANNEL = 'demo:chat';

function ownName() {
  const name = sessionStorage.getItem('name') || NAMES[crypto.getRandomValues(new Uint8Array(1))[0] % NAMES.length];
  sessionStorage.setItem('name', name);
  return name;
}

function channelOfUrl() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || CHANNEL;
  } catch {
    return CHANNEL;
  }
}

const mine = word(), name = ownName();
const network = new Network();
const link = new Link(network, { name, word: mine });
const journal = new Journal(link);
link.open();
const chat = new Chat(link, mine, name);
const curl = new Curl();

// --- the state, in the corner ---

const STATES = { idle: 'Starting', connecting: 'Connecting', connected: 'Connected', waiting: 'Waiting to try again', offline: 'Offline', closed: 'Closed' };

function showState() {
  const { state, transport } = link.client, status = byId('status');
  status.dataset.state = state;
  status.dataset.transport = (state === 'connected' && transport) || '';
  setText(byId('status-text'), state === 'connected' && transport ? `Connected over ${TRANSPORTS[transport]}` : STATES[state]);
}
link.addEventListener('state', showState);
link.addEventListener('transport', showState);

// --- what the visitor does ---

byId('switches').addEventListener('change', ({ target }) => {
  journal.note('state', 'you', `${target.checked ? 'switched on' : 'switched off'}: ${target.labels[0].querySelector('.what').firstChild.data}`);
  network.set(target.name, target.checked);
});
byId('cut').addEventListener('click', () => {
  journal.note('state', 'you', 'cut everything that was open');
  network.cut('the line was cut');
});
document.querySelectorAll('input[name=transport]').forEach((input) => input.addEventListener('change', () => {
  journal.note('state', 'you', input.value === 'auto' ? 'chose whatever gets through' : `chose ${TRANSPORTS[input.value]}`);
  link.open({ choice: input.value });
}));

const nameField = byId('name');
nameField.value = name;
nameField.addEventListener('change', () => {
  const wanted = nameField.value.trim();
  if (!wanted || wanted === chat.name) return;
  chat.name = wanted;
  sessionStorage.setItem('name', wanted);
  link.open({ presence: { name: wanted, word: mine } });
});

function openChannel() {
  const channel = channelOfUrl();
  byId('channel').value = channel;
  chat.open(channel);
  curl.show({ channel, id: '' });
}
byId('where').addEventListener('submit', (e) => {
  e.preventDefault();
  location.hash = encodeURIComponent(byId('channel').value.trim());
});
addEventListener('hashchange', openChannel);

// --- start ---

const traffic = new Traffic(link);
const figures = new Figures(link);
traffic.onLatency = (took, message, wall) => figures.own(took, message, wall);
traffic.onRefused = (err) => {
  traffic.set(0);
  document.querySelector('input[name=traffic][value="0"]').checked = true;
  journal.note('error', 'refused', `numbered messages: ${err.message}`);
};
document.querySelectorAll('input[name=traffic]').forEach((input) => input.addEventListener('change', () => traffic.set(Number(input.value))));
traffic.set(1);

let shownId = '';
link.addEventListener('message', ({ detail }) => {
  if (detail.channel !== chat.channel || !detail.id || detail.id === shownId) return;
  shownId = detail.id;
  curl.show({ channel: chat.channel, id: shownId });
});

openChannel();
showState();
setText(byId('version'), `Holdfast client ${Holdfast.version}`);
