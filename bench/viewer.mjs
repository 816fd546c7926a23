/** Measures the speed of the viewer's page, by the browser's clock, beside an empty page. */
import { readProfile } from '../lib/profile/reader.js';
import { startViewer } from '../lib/viewer-server/server.js';
import { fileSource } from '../lib/viewer-server/source.js';
import { hasBrowser, openBrowser } from '../test/support/browser.mjs';
import { largeProfile, makeProfile } from '../test/support/make-profile.mjs';
import { runAsProgram } from './as-program.mjs';
import { show } from './measure.mjs';

const ZOOMS = 5;

/** Returns the longest time between two drawn frames while `act` runs. */
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

const PAGES = [
  ['1 sample (baseline)', () => makeProfile([{ stack: ['a', 'b'], nanos: 1e7 }])],
  ['50,000 samples, 10,000 spans', largeProfile],
];

export const bench = {
  title: "The viewer's page",
  about: `of one profile, in Chromium; the longest time between two frames while zooming ${ZOOMS} times.`,
  rounds: 3,
  unable: ({ version }) => {
    if (version !== process.versions.node) return 'its server is in the Node.js that runs this';
    return hasBrowser() ? undefined : 'there is no Chromium';
  },
  async run({ rounds }) {
    const browser = await openBrowser();
    try {
      const rows = [];
      for (const [name, make] of PAGES) {
        const bytes = make();
        const found = [];
        for (let i = 0; i < rounds; i++) found.push(await measure(browser, bytes));
        const of = (pick) => show(found.map(pick), 0);
        rows.push({
          cells: [
            name,
            of(({ first }) => first),
            of(({ drawn }) => drawn),
            of(({ frames }) => Math.max(0, ...frames)),
          ],
        });
      }
      return { columns: ['', 'first paint, ms', 'all drawn, ms', 'longest frame, ms'], rows };
    } finally {
      await browser.close();
    }
  },
};

void runAsProgram(import.meta.url);
