/** `otelpyroscope attach` where the inspector interrupts the work of the process's own profiler. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { RemoteProfiler } from '../../../lib/attach/remote-profiler.js';
import { profileWindows } from '../../../lib/profiler/profile-windows.js';
import { readProfile } from '../../support/read-profile.mjs';

const SETTINGS = {
  intervalMicros: 1_000,
  clock: 'tick',
  labels: {},
  live: true,
  closesInspector: false,
};

describe('a remote profiler', function () {
  let busy;
  let interruptions;

  /** Evaluates in this process, as the inspector does in another one. */
  const session = {
    isExiting: false,
    loopRuns: async () => true,
    evaluate: async (expression) => (0, eval)(expression),
    evaluatePromise: async (expression) => (0, eval)(expression),
  };

  before(function () {
    // Node.js before 20.16 has no process.getBuiltinModule; the inspector then has `require`.
    globalThis.require ??= createRequire(import.meta.url);
    const { get } = Object.getOwnPropertyDescriptor(
      Object.getPrototypeOf(profileWindows),
      'isBusy',
    );
    assert.equal(get.call(profileWindows), false);
    Object.defineProperty(profileWindows, 'isBusy', {
      configurable: true,
      get: () => {
        if (busy === 0) return false;
        busy--;
        interruptions++;
        return true;
      },
    });
  });

  after(function () {
    delete profileWindows.isBusy;
    delete globalThis.require;
  });

  /** Resolves as `call` does, where the first two evaluations interrupt the profiler. */
  async function interrupted(call) {
    busy = 2;
    interruptions = 0;
    const result = await call();
    assert.equal(interruptions, 2);
    return result;
  }

  it('begins, collects, ends and leaves after the work that the inspector has interrupted', async function () {
    const profiler = await interrupted(() => RemoteProfiler.begin(session, SETTINGS));
    const burn = () => {
      for (const end = performance.now() + 100; performance.now() < end;);
    };
    burn();
    const window = readProfile(await interrupted(() => profiler.collect()));
    assert.ok(window.sampledShare('burn') > 0.5);
    burn();
    const profile = readProfile(await interrupted(() => profiler.end()));
    assert.ok(profile.sampledNanos > window.sampledNanos);
    await interrupted(() => profiler.leave());
    await assert.rejects(profiler.collect(), /its profile has ended/);
  });
});
