/**
 * Measures the viewer's page at 50,000 samples and 10,000 spans in the browser's own clock, beside an
 * empty page of the same browser. Needs Chromium.
 *
 *     node test/bench/viewer.mjs
 */
import { readProfile } from '../../lib/profile-reader.js';
import { startViewer } from '../../lib/viewer-server.js';
import { fileSource } from '../../lib/viewer-source.js';
import { openBrowser } from '../support/browser.mjs';
import { largeProfile, makeProfile } from '../support/make-profile.mjs';

const ROUNDS = 3;
const ZOOMS = 5;

/** Longest time between two frames in which the page draws, while `act` is at work. */
async function longestFrame(page, act) {
  await page.evaluate(() => {
    globalThis.longest = 0;
    let last = performance.now();
    globalThis.measuring = true;
    const frame = (now) => {
      globalThis.longest = Math.max(globalThis.longest, now - last);
      last = now;
      if (globalThis.measuring) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  await act();
  await page.waitForTimeout(300);
  return page.evaluate(() => {
    globalThis.measuring = false;
    return globalThis.longest;
  });
}

async function measure(browser, bytes) {
  const { server, url } = await startViewer(fileSource('bench', await readProfile(bytes)));
  const page = await browser.context.newPage();
  await page.goto(url);
  await page.waitForFunction(() => document.body.dataset.ready !== undefined);
  const paint = await page.evaluate(async () => {
    const drawn = performance.now();
    const [first] = performance.getEntriesByName('first-contentful-paint');
    return { first: first.startTime, drawn: Math.min(drawn, globalThis.drawnAt ?? drawn) };
  });
  const frames = [];
  for (let i = 0; i < ZOOMS; i++) {
    const frame = page.locator('#graph-a g.frame:not(.fade)').nth(1);
    if ((await frame.count()) === 0) break;
    const before = await page.evaluate(() => document.body.dataset.ready);
    frames.push(
      await longestFrame(page, async () => {
        await frame.dispatchEvent('click');
        await page.waitForFunction((last) => document.body.dataset.ready !== last, before);
      }),
    );
  }
  const count = await page.locator('#graph-a g.frame').count();
  await page.close();
  server.closeAllConnections();
  server.close();
  return { ...paint, frames, count };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const browser = await openBrowser();
try {
  for (const [name, bytes] of [
    ['1 sample (baseline)', makeProfile([{ stack: ['a', 'b'], nanos: 1e7 }])],
    ['50,000 samples, 10,000 spans', largeProfile()],
  ]) {
    const rounds = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push(await measure(browser, bytes));
    const of = (pick) => Math.round(median(rounds.map(pick)));
    console.log(
      `${name}: first paint ${of((r) => r.first)} ms, all drawn ${of((r) => r.drawn)} ms, ` +
        `longest frame of ${ZOOMS} zooms ${of((r) => Math.max(...r.frames))} ms ` +
        `(median zoom ${of((r) => median(r.frames))} ms)`,
    );
  }
} finally {
  await browser.close();
}
