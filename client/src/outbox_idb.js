// SPDX-License-Identifier: MIT
// outbox_idb: an outbox that survives its page, in IndexedDB. All tabs of an origin with the same name put into the same
// outbox; the one that holds its Web Lock sends, and tells the others what became of theirs. The next one goes on with the
// same producer, its numbers, and the very flight that was under way.

export function durableStore({ HoldfastError, random }) {
  const done = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onabort = () => reject(new HoldfastError('storage', `the outbox can not be kept: ${request.error?.message}`, { cause: request.error }));
  });

  return class DurableStore {
    constructor(name) {
      if (!globalThis.indexedDB) throw new HoldfastError('storage', 'there is no IndexedDB here');
      this.name = `holdfast:outbox:${name}`;
    }

    async open(owner) {
      this.owner = owner;
      const request = indexedDB.open(this.name, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore('entries', { autoIncrement: true });
        request.result.createObjectStore('meta');
      };
      this.db = await done(request);
      if (globalThis.BroadcastChannel) {
        this.tabs = new BroadcastChannel(this.name);
        this.tabs.onmessage = ({ data }) => {
          if (data.done) data.done.forEach((n, i) => owner.settled(n, data.receipts?.[i], data.error));
          else if (this.owns) this.more();
        };
      }
      const { locks } = globalThis.navigator ?? {};
      if (!locks) return this.own();
      locks.request(this.name, () => (this.closed ? undefined : new Promise((resolve) => {
        this.release = resolve;
        this.own();
      })));
      return undefined;
    }

    // One transaction: fn gives the request whose result is wanted.
    async change(mode, fn) {
      const t = this.db.transaction(['entries', 'meta'], mode);
      const result = fn(t.objectStore('entries'), t.objectStore('meta'));
      await new Promise((resolve, reject) => {
        t.oncomplete = resolve;
        t.onabort = t.onerror = () => reject(new HoldfastError('storage', `the outbox can not be kept: ${t.error?.message}`, { cause: t.error }));
      });
      return result?.result;
    }

    async read() {
      let keys;
      const values = await this.change('readonly', (entries) => {
        keys = entries.getAllKeys();
        return entries.getAll();
      });
      return values.map((e, i) => ({ ...e, n: keys.result[i] }));
    }

    // From now on we send.
    async own() {
      const fresh = { producer: random(), next: 1 };
      const kept = await this.change('readwrite', (_, meta) => {
        const r = meta.get('state');
        r.onsuccess = () => { if (!r.result) meta.put(fresh, 'state'); };
        return r;
      });
      this.state = kept ?? fresh;
      this.owns = true;
      this.owner.own(this.state, await this.read());
    }

    // All of them: an older one of another tab may become known after a newer one.
    async more() { this.owner.found(await this.read()); }

    async add(entry) {
      const n = await this.change('readwrite', (entries) => entries.add(entry));
      if (!this.owns) this.tabs?.postMessage({});
      return n;
    }

    async save({ settled = [], receipts, error, next, flight }) {
      if (this.owns) this.state = { producer: this.state.producer, next, flight };
      await this.change('readwrite', (entries, meta) => {
        settled.forEach((n) => entries.delete(n));
        if (this.owns) meta.put(this.state, 'state');
      });
      if (settled.length) this.tabs?.postMessage({ done: settled, receipts, error });
    }

    close() {
      this.closed = true;
      this.release?.();
      this.tabs?.close();
      this.db?.close();
    }
  };
}
