/** A profiler changes nothing about async contexts before the first label, and labels are right from then on. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runCode, runNode } from '../support/run-child.mjs';

const PROGRAM = fileURLToPath(new URL('fixtures/asynchrony/first-label.cjs', import.meta.url));
const REFUSE = fileURLToPath(new URL('../support/refuse-resources.cjs', import.meta.url));
/** Labels, then breaks AsyncLocalStorage for some callbacks, as a tool's hook may. */
const BROKEN_STORAGE = `
  const { AsyncLocalStorage } = require('node:async_hooks');
  const { CpuProfiler, withLabels } = require('otelpyroscope');
  const warnings = [];
  process.on('warning', ({ message }) => warnings.push(message));
  const profiler = new CpuProfiler();
  profiler.start();
  withLabels({ work: 'first' }, async () => {
    await null;
    const { getStore } = AsyncLocalStorage.prototype;
    AsyncLocalStorage.prototype.getStore = () => {
      throw new Error('broken');
    };
    await null;
    setTimeout(async () => {
      AsyncLocalStorage.prototype.getStore = getStore;
      await profiler.stop();
      await new Promise(setImmediate);
      process.send(warnings, () => process.disconnect());
    }, 5);
  });`;
const major = Number.parseInt(process.versions.node, 10);

describe('The first label of a thread', function () {
  this.timeout(60_000);
  this.slow(5_000);

  const kinds = [{ title: 'as Node.js starts', flags: [] }];
  if (major >= 24) {
    kinds.push({ title: 'without AsyncContextFrame', flags: ['--no-async-context-frame'] });
  } else {
    kinds.push({ title: 'with an async hook', flags: ['--require', REFUSE] });
  }
  for (const { title, flags } of kinds) {
    it(`is right, and the program keeps its stores before it: ${title}`, async () => {
      const { stores, promiseIds, works } = await messageOf(runNode([...flags, PROGRAM]));
      // Without the package, with it, and while a profiler runs.
      assert.deepEqual(stores, [stores[0], stores[0], stores[0]]);
      assert.equal(stores[0], major < 24 ? 'entered' : null);
      // Where an async hook is enabled, each promise has an id of its own.
      assert.equal(promiseIds, 1);
      assert.deepEqual(works, {
        burnBefore: ['none'],
        burnEarlierTimer: ['none'],
        burnEarlierPromise: ['none'],
        burnFirst: ['first'],
        burnAfterAwait: ['first'],
        burnAfterTimer: ['first'],
        burnOutside: ['none'],
        burnSecond: ['second'],
      });
    });
  }

  it('does not end the process where a tool breaks AsyncLocalStorage', async () => {
    const flags = ['--require', REFUSE, ...(major >= 24 ? ['--no-async-context-frame'] : [])];
    const warnings = await messageOf(runCode(BROKEN_STORAGE, { flags }));
    assert.match(warnings.join('\n'), /sampled without labels: AsyncLocalStorage threw/);
  });
});
