// SPDX-License-Identifier: MIT
// A page that playwright does not hold. Those that it holds count as seen and focused for ever, and Chromium freezes only what nobody
// sees: Page.setWebLifecycleState does nothing to them. This one lives in the browser's own context, where playwright leaves
// pages alone, and speaks the DevTools protocol over the browser's session.

import { Queue, deadline } from '../wire/lib/wait.js';

export class BarePage {
  answers = new Map();
  loaded = new Queue();
  ids = 0;

  // report(e) is called for what the page gives to its function `report`.
  static async open(browser, url, report) {
    const page = new BarePage();
    const root = page.root = await browser.newBrowserCDPSession();
    const { targetId } = await root.send('Target.createTarget', { url: 'about:blank' });
    root.on('Target.receivedMessageFromTarget', (e) => page.take(JSON.parse(e.message), report));
    page.target = targetId;
    page.session = (await root.send('Target.attachToTarget', { targetId, flatten: false })).sessionId;
    await page.send('Page.enable');
    await page.send('Runtime.enable');
    await page.send('Runtime.addBinding', { name: 'reportText' });
    await page.send('Page.addScriptToEvaluateOnNewDocument', { source: 'globalThis.report = (e) => reportText(JSON.stringify(e));' });
    await page.send('Page.navigate', { url });
    await page.loaded.find((u) => u === url, 10000, `${url} in a bare page`);
    return page;
  }

  take({ id, method, params, result, error }, report) {
    if (id) {
      const { resolve, reject } = this.answers.get(id);
      this.answers.delete(id);
      if (error) reject(new Error(error.message));
      else resolve(result);
    } else if (method === 'Runtime.bindingCalled') report(JSON.parse(params.payload));
    else if (method === 'Page.frameNavigated') this.url = params.frame.url;
    else if (method === 'Page.loadEventFired') this.loaded.push(this.url);
  }

  send(method, params = {}) {
    const id = ++this.ids;
    const answer = new Promise((resolve, reject) => this.answers.set(id, { resolve, reject }));
    this.root.send('Target.sendMessageToTarget', { sessionId: this.session, message: JSON.stringify({ id, method, params }) }).catch((err) => this.take({ id, error: err }));
    return deadline(answer, 10000, method);
  }

  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async close() {
    await this.root.send('Target.closeTarget', { targetId: this.target });
    await this.root.detach();
  }
}
