/** From the demo's profile to the function that makes its slowest request slow, in a real browser. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { hasBrowser, openBrowser } from '../support/browser.mjs';
import { readProfile } from '../support/read-profile.mjs';
import { ROOT, runNode } from '../support/run-child.mjs';
import { needs } from '../support/needs.mjs';
import { change, frames, picture, table, ViewerPages } from '../support/viewer-page.mjs';

/** Requests of which three search for a misspelt word: the same work on every machine. */
const REQUESTS = '500';
/** A function that only those call (examples/demo/catalog.cjs). */
const PLANTED = ['suggestProducts', 'editDistance'];
/** Functions of other routes. */
const ELSEWHERE = ['scoreProducts', 'showInvoice'];
/** Names of the http instrumentation's spans, which get them at their end. */
const ROUTES = [
  'GET /products',
  'GET /invoices/:id',
  'POST /login',
  'GET /recommendations',
  'GET /export',
];

describe("the demo's profile in the viewer", function () {
  this.timeout(120_000);
  let directory;
  let printed;
  let bytes;
  let browser;
  let pages;

  before(async function () {
    needs(hasBrowser(), 'Chromium', this);
    directory = mkdtempSync(path.join(os.tmpdir(), 'demo-'));
    const out = path.join(directory, 'demo.pb.gz');
    const demo = path.join(ROOT, 'examples', 'demo', 'demo.mjs');
    const ended = await runNode([demo, '--requests', REQUESTS, '--out', out], {
      timeoutMs: 110_000,
    });
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
    assert.match(
      ended.stdout,
      /Every id in the profile is that of an exported span, and every name/,
    );
    printed = ended.stdout;
    bytes = readFileSync(out);
    browser = await openBrowser();
    pages = new ViewerPages(browser);
  });

  after(async function () {
    pages?.close();
    await browser?.close();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  it('has the routes of the http instrumentation as span names', async function () {
    const [, rows] = /CPU by span name\n\n.*\n([^]*?)\n {2}\(none\)/.exec(printed);
    const names = rows.split('\n').map((line) => /^ {2}(.*?) {2,}/.exec(line)[1]);
    assert.deepEqual(names.sort(), [...ROUTES].sort());
    const { page, close } = await pages.open(bytes);
    await change(page, () => page.getByRole('tab', { name: 'Traces' }).click());
    const listed = (await table(page)).map((cells) => cells.at(-1));
    assert.deepEqual(listed.sort(), ['(without span_name)', ...ROUTES].sort());
    await close();
  });

  it('leads from the most expensive trace to its functions, and by a comparison to the slow one', async function () {
    const { page, close } = await pages.open(bytes);
    const all = new Set(await frames(page));
    for (const name of [...PLANTED, ...ELSEWHERE]) assert.ok(all.has(name), name);

    const profile = readProfile(bytes);
    const first = page.locator('#list li').first();
    const [id] = /[0-9a-f]{32}/.exec(await first.innerText());
    const byTrace = profile.nanosBy('trace_id');
    byTrace.delete(undefined);
    assert.equal(byTrace.get(id), Math.max(...byTrace.values()));
    const ofTrace = profile.samples.filter(({ labels }) => labels.trace_id === id);
    const expected = new Set(ofTrace.flatMap(({ stack }) => stack.map(({ name }) => name)));
    await change(page, () => first.click());
    const shown = new Set(await frames(page));
    // The viewer tells functions without a name apart by their lines.
    const named = new Set(
      [...shown].map((name) => name.replace(/^\(anonymous:\d+\)$/, '(anonymous)')),
    );
    assert.deepEqual([...named].sort(), ['all', ...expected].sort());
    for (const name of PLANTED) assert.ok(shown.has(name), name);
    for (const name of ELSEWHERE) assert.ok(!shown.has(name), name);

    await change(page, () => page.locator('#others').click());
    assert.match(await page.locator('#caption-a').innerText(), / in 1 trace against B: .* traces/);
    await picture(page, 'demo');
    await change(page, () => page.getByRole('tab', { name: 'Table' }).click());
    const [[difference, , , name, file]] = await table(page);
    assert.equal(name, 'editDistance');
    assert.match(difference, /^\+/);
    assert.match(file, /catalog\.cjs/);
    await close();
  });
});
