/** Checks the viewer's page in a real browser: what is chosen is shown, by pointer and by keyboard, and quickly. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import path from 'node:path';
import { hasBrowser, openBrowser, PICTURES } from '../support/browser.mjs';
import { largeProfile, makeProfile, shopProfile, traceId } from '../support/make-profile.mjs';
import { needs } from '../support/needs.mjs';
import { change, frames, picture, table, ViewerPages } from '../support/viewer-page.mjs';

/** Frames that the page draws at most, and those above: d3-flame-graph's time goes with their number. */
const MAX_FRAMES = 700;

describe('the viewer', function () {
  this.timeout(120_000);
  let browser;
  let pages;

  before(async function () {
    needs(hasBrowser(), 'Chromium', this);
    browser = await openBrowser();
    pages = new ViewerPages(browser);
  });

  after(async function () {
    pages?.close();
    await browser?.close();
  });

  const open = (bytes) => pages.open(bytes);

  const CART = ['all', 'emit', 'handleCart', 'renderCart', 'sumPrices'];
  const SLOW_CART = [...CART, 'slowTaxTable'].sort();

  it('leads from the most expensive trace to its functions only', async function () {
    const { page, close } = await open(shopProfile());
    assert.deepEqual(
      await frames(page),
      [...SLOW_CART, '(garbage collector)', 'countStock'].sort(),
    );
    const first = page.locator('#list li').first();
    assert.match(
      await first.innerText(),
      new RegExp(`GET /cart\\s+980 ms\\s+31.2 %.*${traceId(7)}`),
    );
    await picture(page, 'light');
    await change(page, () => first.click());
    assert.deepEqual(await frames(page), SLOW_CART);
    // Hover: name, file with lines, total and self.
    await page.locator('#graph-a g.frame[name=sumPrices]').hover();
    assert.deepEqual((await page.locator('#tip').innerText()).split('\n'), [
      'sumPrices',
      '/app/cart.js:31, 30',
      'total 930 ms (94.9 %), self 30 ms',
    ]);
    // The difference to the others of its name; the planted function comes first.
    await change(page, () => page.locator('#others').click());
    assert.match(
      await page.locator('#caption-a').innerText(),
      /980 ms in 1 trace against B: 1\.52 s in 19/,
    );
    await picture(page, 'difference');
    await change(page, () => page.getByRole('tab', { name: 'Table' }).click());
    const [top, ...rest] = await table(page);
    assert.deepEqual(top, ['+900 ms', '900 ms', '0', 'slowTaxTable', '/app/tax.js']);
    assert.ok(rest.every(([difference]) => difference === '0'));
    // Side by side, and back through the history to where we came from.
    await change(page, () => page.getByRole('tab', { name: 'Flame graph' }).click());
    await change(page, () => page.locator('#mode').selectOption('side'));
    assert.deepEqual(await frames(page, 'a'), SLOW_CART);
    assert.deepEqual(await frames(page, 'b'), CART);
    await change(page, () => page.locator('#mode').selectOption('diff'));
    await change(page, () => page.locator('#drop-b').click());
    await change(page, () => page.goBack());
    assert.equal(await page.locator('#bar-b').isVisible(), true);
    await close();
  });

  it('zooms, searches, inverts, splits and filters, and keeps all of it in the link', async function () {
    const { page, url, close } = await open(shopProfile());
    await change(page, () => page.locator('#graph-a g.frame[name=handleCart]').click());
    assert.deepEqual(await frames(page), SLOW_CART);
    await change(page, () => page.locator('#search').fill('TAX'));
    assert.equal(await page.locator('#note').innerText(), 'Found in 900 ms of 3.14 s');
    await change(page, () => page.getByRole('tab', { name: 'Inverse' }).click());
    const widest = await page
      .locator('#graph-a g.frame')
      .evaluateAll((all) =>
        all
          .filter(({ __data__: { depth } }) => depth === 1)
          .map(({ __data__: { data } }) => data.name),
      );
    assert.deepEqual(widest.sort(), [
      ...['(garbage collector)', 'countStock', 'renderCart', 'slowTaxTable', 'sumPrices'],
    ]);
    await change(page, () => page.getByRole('tab', { name: 'Flame graph' }).click());
    await change(page, () => page.locator('#split').selectOption('span_name'));
    assert.ok((await frames(page)).includes('GET /stock'));
    await page.locator('#filter').fill('span_name=GET /stock');
    await change(page, () => page.locator('#filter').press('Enter'));
    assert.deepEqual(await frames(page), ['GET /stock', 'all', 'countStock', 'emit']);
    await change(page, () => page.locator('#list-search').fill('stock'));
    assert.equal(await page.locator('#list li').count(), 10);
    const link = page.url();
    assert.ok(link.startsWith(`${url}#`));
    await page.goto('about:blank');
    await page.goto(link);
    await page.waitForFunction(() => document.body.dataset.ready !== undefined);
    assert.deepEqual(await frames(page), ['GET /stock', 'all', 'countStock', 'emit']);
    assert.equal(await page.locator('#list li').count(), 10);
    assert.equal(await page.locator('#search').inputValue(), 'TAX');
    await close();
  });

  it('works by keyboard alone, in dark mode', async function () {
    const { page, close } = await open(shopProfile());
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.keyboard.press('/');
    await page.keyboard.type('cart');
    await page.waitForFunction(() => document.querySelectorAll('#list li').length === 20);
    await page.keyboard.press('Escape');
    await page.keyboard.press('ArrowDown');
    await change(page, () => page.keyboard.press('Enter'));
    assert.deepEqual(await frames(page), CART);
    await page.keyboard.press('ArrowUp');
    await change(page, () => page.keyboard.press('Enter'));
    assert.deepEqual(await frames(page), SLOW_CART);
    await page.keyboard.press('g');
    const details = () => page.locator('#details').innerText();
    for (const [key, name] of [
      ['ArrowDown', 'emit'],
      ['ArrowDown', 'handleCart'],
      ['ArrowDown', 'sumPrices'],
      ['ArrowLeft', 'renderCart'],
      ['ArrowRight', 'sumPrices'],
      ['ArrowUp', 'handleCart'],
      ['ArrowDown', 'sumPrices'],
      ['ArrowDown', 'slowTaxTable'],
    ]) {
      await page.keyboard.press(key);
      assert.match(await details(), new RegExp(`^${name} `), key);
    }
    await change(page, () => page.keyboard.press('Enter'));
    assert.match(page.url(), /zoom=/);
    assert.deepEqual(await frames(page), [
      'all',
      'emit',
      'handleCart',
      'slowTaxTable',
      'sumPrices',
    ]);
    await change(page, () => page.keyboard.press('0'));
    assert.deepEqual(await frames(page), SLOW_CART);
    await change(page, () => page.keyboard.press('o'));
    await picture(page, 'dark');
    await change(page, () => page.keyboard.press('3'));
    assert.equal((await table(page))[0][3], 'slowTaxTable');
    const colours = () =>
      page.evaluate(() => {
        const { backgroundColor, color } = getComputedStyle(document.body);
        return [backgroundColor, color].map((text) => Number(/\d+/.exec(text)[0]));
      });
    const [back, text] = await colours();
    assert.ok(back < 60 && text > 200, `${back} ${text}`);
    await change(page, () => page.keyboard.press('d'));
    const [lightBack, lightText] = await colours();
    assert.ok(lightBack > 200 && lightText < 60, `${lightBack} ${lightText}`);
    await page.keyboard.press('?');
    assert.ok(await page.locator('#help').isVisible());
    await close();
  });

  it('lists traces by span name, and leads to a name and to its most expensive trace', async function () {
    const { page, close } = await open(shopProfile());
    const tab = () => change(page, () => page.getByRole('tab', { name: 'Traces' }).click());
    await tab();
    assert.deepEqual(await table(page), [
      ['2.5 s', '79.6 %', '20', '80 ms', '80 ms', '980 ms', 'GET /cart'],
      ['600 ms', '19.1 %', '10', '60 ms', '60 ms', '60 ms', 'GET /stock'],
      ['40 ms', '1.3 %', '0', '–', '–', '–', '(without span_name)'],
    ]);
    await picture(page, 'traces');
    await change(page, () => page.locator('#table').getByText('980 ms').click());
    assert.deepEqual(await frames(page), SLOW_CART);
    assert.equal(await page.locator('#chips-a').innerText(), `trace_id=${traceId(7)} ✕`);
    await change(page, () => page.goBack());
    await page.keyboard.press('f');
    await change(page, () => page.keyboard.type('S'));
    assert.deepEqual(
      (await table(page)).map((cells) => cells.at(-1)),
      ['GET /stock'],
    );
    await change(page, () => page.locator('#table').getByText('GET /stock').click());
    assert.deepEqual(await frames(page), ['all', 'countStock', 'emit']);
    assert.equal(await page.locator('#chips-a').innerText(), 'span_name=GET /stock ✕');
    await change(page, () => page.keyboard.press('4'));
    assert.equal((await table(page)).length, 1);
    await close();
  });

  it('fits into 400 pixels', async function () {
    const { page, close } = await open(shopProfile());
    await page.setViewportSize({ width: 400, height: 800 });
    const overflow = () =>
      page.evaluate(() =>
        ['html', '#table-box'].map((selector) => {
          const { scrollWidth, clientWidth } = document.querySelector(selector);
          return scrollWidth - clientWidth;
        }),
      );
    for (const [name, action] of [
      ['Traces', () => page.getByRole('tab', { name: 'Traces' }).click()],
      ['Table', () => page.getByRole('tab', { name: 'Table' }).click()],
      ['a difference', () => page.locator('#compare-rest').click()],
    ]) {
      await change(page, action);
      assert.deepEqual(await overflow(), [0, 0], name);
      for (const cell of await page.locator('#table tbody tr').first().locator('td').all()) {
        const { width } = await cell.boundingBox();
        assert.ok(width > 40, `${name}: ${width} pixels`);
      }
      if (name === 'Traces') await picture(page, 'narrow');
    }
    await close();
  });

  it('shows names from the file as text, and runs no script in them', async function () {
    const evil = `<img src=x onerror="document.title='owned'"><script>alert(1)</script>`;
    const labels = { [evil]: evil, span_name: evil, trace_id: evil, __proto: '}{' };
    const { page, close } = await open(
      makeProfile([
        {
          stack: [evil.replaceAll(' ', '\u00a0'), '__proto__', 'constructor x'],
          nanos: 1e9,
          labels,
        },
        { stack: ['\u202e\0[*]+('], nanos: 1e8 },
      ]),
    );
    await change(page, () => page.locator('#list li').first().click());
    await page.locator('#graph-a g.frame').last().hover();
    await change(page, () => page.locator('#search').fill('[*]+('));
    await change(page, () => page.locator('#search').fill(''));
    await change(page, () => page.locator('#others').click());
    await change(page, () => page.getByRole('tab', { name: 'Table' }).click());
    assert.ok((await table(page)).some((cells) => cells.some((text) => text.includes('<script>'))));
    assert.equal(await page.locator('img').count(), 0);
    assert.equal(await page.title(), 'test – otelpyroscope');
    await close();
  });

  it('stays fast and small at 50,000 samples and 10,000 spans', async function () {
    const { page, close } = await open(largeProfile());
    const session = await page.context().newCDPSession(page);
    await session.send('Performance.enable', { timeDomain: 'threadTicks' });
    /** CPU of the page's main thread, in seconds: the thread's own clock, not the wall's. */
    const cpu = async () => {
      const { metrics } = await session.send('Performance.getMetrics');
      return metrics.find(({ name }) => name === 'TaskDuration').value;
    };
    const count = () => page.locator('#graph-a g.frame').count();
    assert.ok((await count()) > 100);
    const spent = [];
    for (let step = 0; step < 5; step++) {
      const before = await cpu();
      const frame = page.locator('#graph-a g.frame:not(.fade)').nth(1);
      await change(page, () => frame.dispatchEvent('click'));
      spent.push((await cpu()) - before);
      assert.ok((await count()) <= MAX_FRAMES, `${await count()} frames`);
    }
    await change(page, () => page.locator('#label').selectOption('span_id'));
    await change(page, () => page.locator('#list-search').fill('route/7'));
    assert.ok((await page.locator('#list li').count()) <= 200);
    assert.match(await page.locator('#list-note').innerText(), /more/);
    await picture(page, 'large');
    const total = await page.evaluate(() => document.querySelectorAll('*').length);
    assert.ok(total < 10_000, `${total} elements`);
    // A zoom that took the whole profile instead of what is visible would take many times this.
    assert.ok(Math.min(...spent) < 1.5, `a zoom takes ${spent.join(', ')} s of CPU`);
    await close();
  });

  it('leaves pictures of itself', function () {
    for (const name of ['light', 'dark', 'difference', 'large', 'traces', 'narrow']) {
      assert.ok(statSync(path.join(PICTURES, `${name}.png`)).size > 10_000, name);
    }
  });
});
