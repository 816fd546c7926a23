/** The viewer's page in a browser, as tests open it, look at it and wait for it. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { readProfile } from '../../lib/profile/reader.js';
import { startViewer } from '../../lib/viewer-server/server.js';
import { fileSource } from '../../lib/viewer-server/source.js';
import { PICTURES } from './browser.mjs';

/** Pages of one browser, each with a server of its own. */
export class ViewerPages {
  #browser;
  #servers = [];

  /** @param {Awaited<ReturnType<import('./browser.mjs').openBrowser>>} browser */
  constructor(browser) {
    this.#browser = browser;
  }

  /**
   * A page that has been drawn. What the page complains of fails its `close`.
   * @param {Uint8Array} bytes Of a profile.
   */
  async open(bytes) {
    const { server, url } = await startViewer(fileSource('test', await readProfile(bytes)));
    this.#servers.push(server);
    const page = await this.#browser.context.newPage();
    const complaints = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('dialog', (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(url)) complaints.push(`asked for ${request.url()}`);
    });
    await page.goto(url);
    await page.waitForFunction(() => document.body.dataset.ready !== undefined);
    return {
      page,
      url,
      async close() {
        await page.close();
        assert.deepEqual(complaints, []);
      },
    };
  }

  close() {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}

/** Does something, and waits until the page has drawn what it leads to. */
export async function change(page, action) {
  const before = await page.evaluate(() => document.body.dataset.ready);
  await action();
  await page.waitForFunction((last) => document.body.dataset.ready !== last, before);
}

/** Names of the frames in the graph, those for which no pixel is there included. */
export function frames(page, side = 'a') {
  return page
    .locator(`#graph-${side} g.frame`)
    .evaluateAll((all) => all.map((frame) => frame.__data__.data.name).sort());
}

/** The cells of the table, row by row. */
export function table(page) {
  return page
    .locator('#table tbody tr')
    .evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText)));
}

export function picture(page, name) {
  return page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
}
