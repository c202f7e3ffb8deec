// SPDX-License-Identifier: MIT
// attendance: who is in a channel, for subscriptions that want to know: the list when it has begun (and again after each
// reconnect), then who comes and goes. What is told while the list is on its way comes after it: a join of one who is in
// the list, or a leave of one who is not, changes nothing, so the end is right whatever overtook whom.

import { guarded } from './wait.js';

const POLLED_MS = 10000; // polls miss what is told between them

export class Attendance {
  constructor(client) { this.client = client; }

  event(sub, w) {
    if (sub.held) sub.held.push(w);
    else guarded(sub.options.onPresence, w);
  }

  async attend(sub) {
    if (!sub.options.presence || sub.held) return;
    clearTimeout(sub.attending);
    sub.held = [];
    try {
      const list = await this.ask(sub.channel);
      if (!sub.closed) sub.held.unshift({ type: 'presence', ...list });
    } catch (err) {
      if (!sub.closed) sub.report(err);
    }
    const { held } = sub;
    sub.held = null;
    if (sub.closed) return;
    held.forEach((w) => this.event(sub, w));
    if (/poll/.test(sub.line.link?.name)) sub.attending = setTimeout(() => this.attend(sub), POLLED_MS);
  }

  // All members, page by page.
  async ask(channel, { signal } = {}) {
    const members = [];
    for (let after; ;) {
      const page = await this.client.http.call('/v1/presence', { query: [['channel', channel], ['after', after]], signal });
      members.push(...page.members);
      if (!page.more || !page.members.length) return { channel, count: page.count, members };
      after = members[members.length - 1].session;
    }
  }
}
