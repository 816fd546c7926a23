/** Labels in force and the two ways in which a sampler reads them, with a stand-in for the addon. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage, AsyncResource, createHook } from 'node:async_hooks';
import { execFileSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { sleep } from '../../support/labels.mjs';

const require = createRequire(import.meta.url);
const { ActiveLabels } = require('../../../lib/labels/active-labels.js');
const { createLabelSet, createUserLabels } = require('../../../lib/labels/label-set.js');
const { LABEL_TABLE_SIZE, PROBE_IDS } = require('../../../lib/labels/label-table.js');

/** Whether this Node keeps storages in an AsyncContextFrame, which no async_hooks hook can follow. */
const hasContextFrame = (() => {
  const storage = new AsyncLocalStorage();
  const resource = storage.run('inner', () => new AsyncResource('test'));
  let seen;
  const hook = createHook({ before: () => (seen = storage.getStore()) }).enable();
  storage.run('outer', () => resource.runInAsyncScope(() => undefined));
  hook.disable();
  return seen !== 'inner';
})();

const setOf = (name) => createLabelSet(undefined, createUserLabels(new Map([['name', name]])));

/** The addon as far as labels go; `continuation`: whether it can read the storage itself. */
function fakeNative({ continuation = false, refused = false } = {}) {
  return {
    labelWord: new Int32Array(1),
    sampledLabels: new Uint8Array(LABEL_TABLE_SIZE),
    storage: null,
    source: 'label-word',
    setLabelStorage(storage) {
      this.storage = storage;
    },
    probeContinuationLabel() {
      return continuation ? (this.storage.getStore() ?? 0) : 0;
    },
    setLabelSource(source) {
      if (source === 'continuation' && refused) return false;
      this.source = source;
      return true;
    },
  };
}

describe('ActiveLabels', () => {
  it('works without a sampler', async () => {
    const labels = new ActiveLabels();
    const set = setOf('a');
    assert.equal(labels.current(), undefined);
    const self = {};
    const result = labels.run(
      set,
      function (...args) {
        assert.equal(this, self);
        assert.deepEqual(args, [1, 2]);
        assert.equal(labels.current(), set);
        return sleep(1).then(() => labels.current());
      },
      self,
      [1, 2],
    );
    assert.equal(labels.current(), undefined);
    assert.equal(await result, set);
    assert.deepEqual({ ...labels.labelsOf(set.id) }, { name: 'a' });
    assert.equal(Object.isFrozen(labels.labelsOf(set.id)), true);
    assert.equal(labels.labelsOf(set.id + 1), undefined);
  });

  it('gives an id only to sets that come into force, and keeps it', () => {
    const labels = new ActiveLabels();
    const [never, set] = [setOf('never'), setOf('a')];
    const run = () => labels.run(set, () => labels.currentId(), undefined, []);
    assert.equal(run(), 1);
    assert.equal(run(), 1);
    assert.equal(never.id, 0);
    assert.equal(labels.activeLabelSets, 1);
    labels.release(set);
    assert.equal(labels.activeLabelSets, 0);
    assert.equal(run(), 1);
    assert.equal(labels.activeLabelSets, 0);
  });

  it("leaves a flow without labels whose set lost its place, and never with another's", async () => {
    const labels = new ActiveLabels();
    const set = setOf('first');
    await labels.run(
      set,
      async () => {
        await null;
        const pass = (count) => {
          for (let i = 0; i < count; i++) labels.run(setOf('other'), () => 0, undefined, []);
        };
        pass(LABEL_TABLE_SIZE - 1);
        assert.equal(labels.current(), set);
        pass(1);
        assert.equal(labels.current(), undefined);
        await null;
        assert.equal(labels.current(), undefined);
        assert.equal(labels.droppedLabelSets, 1);
        assert.equal(
          labels.run(set, () => labels.current(), undefined, []),
          set,
        );
      },
      undefined,
      [],
    );
  }).timeout(10_000);

  it('counts a set once that samples or flows still carry when it is gone, ended or not', () => {
    const labels = new ActiveLabels();
    const sets = [setOf('ended'), setOf('open'), setOf('of nobody')];
    const [ended, open] = sets.map((set) => {
      return labels.run(set, () => labels.currentId(), undefined, []);
    });
    labels.release(sets[0]);
    labels.release(sets[2]);
    for (let i = 0; i < LABEL_TABLE_SIZE; i++) {
      const set = setOf('other');
      labels.run(set, () => undefined, undefined, []);
      labels.release(set);
    }
    assert.equal(labels.droppedLabelSets, 1);
    for (let i = 0; i < 2; i++) {
      assert.equal(labels.labelsOf(open), undefined);
      assert.equal(labels.get(open), undefined);
      assert.equal(labels.droppedLabelSets, i + 1);
      assert.equal(labels.labelsOf(ended), undefined);
      assert.equal(labels.get(ended), undefined);
      assert.equal(labels.droppedLabelSets, 2);
    }
    for (const id of [0, ...PROBE_IDS]) assert.equal(labels.labelsOf(id), undefined);
    assert.equal(labels.droppedLabelSets, 2);
  });

  it('replaces the storage when ids run out: flows under way lose their labels', async () => {
    const labels = new ActiveLabels(0x3fff_ffff);
    const native = fakeNative();
    labels.connect(native);
    const before = native.storage;
    const [old, next] = [setOf('old'), setOf('next')];
    let inOld;
    await labels.run(
      old,
      async () => {
        assert.equal(labels.currentId(), 0x3fff_ffff);
        native.sampledLabels[0x3fff_ffff & (LABEL_TABLE_SIZE - 1)] = 1;
        inOld = sleep(2).then(() => {
          assert.equal(labels.current(), undefined);
          assert.equal(native.labelWord[0], 0);
        });
        labels.run(
          next,
          () => {
            assert.notEqual(native.storage, before);
            assert.equal(labels.current(), next);
            assert.equal(labels.currentId(), 0x4000_0000);
            assert.equal(native.labelWord[0], hasContextFrame ? 0 : 0x4000_0000);
          },
          undefined,
          [],
        );
        assert.equal(labels.current(), undefined);
        assert.equal(native.labelWord[0], 0);
      },
      undefined,
      [],
    );
    await inOld;
    assert.equal(labels.labelsOf(0x3fff_ffff).name, 'old', 'samples of it are still resolved');
    labels.disconnect();
  });

  it('is read from the continuation where the addon can, and writes no slot then', async () => {
    const labels = new ActiveLabels();
    const native = fakeNative({ continuation: true });
    assert.equal(labels.connect(native), 'continuation');
    assert.equal(native.source, 'continuation');
    await labels.run(
      setOf('a'),
      async () => {
        await sleep(1);
        assert.equal(native.probeContinuationLabel(), labels.currentId());
        assert.equal(native.labelWord[0], 0);
      },
      undefined,
      [],
    );
    labels.disconnect();
  });

  it('probes with ids that no set ever has, and leaves none in force', () => {
    const labels = new ActiveLabels();
    const native = fakeNative({ continuation: true });
    const seen = [];
    const probe = native.probeContinuationLabel;
    native.probeContinuationLabel = function () {
      seen.push(this.storage.getStore());
      return probe.call(this);
    };
    labels.connect(native);
    assert.deepEqual([...new Set(seen)].sort(), [...PROBE_IDS]);
    assert.equal(native.storage.getStore() ?? 0, 0);
    labels.disconnect();
  });

  it('falls back where a probe is wrong or the addon refuses: to the slot, or to no labels', () => {
    const stuck = fakeNative({ continuation: true });
    stuck.probeContinuationLabel = () => PROBE_IDS[0];
    const refused = fakeNative({ continuation: true, refused: true });
    for (const native of [fakeNative(), stuck, refused]) {
      const labels = new ActiveLabels();
      assert.equal(labels.connect(native), hasContextFrame ? 'none' : 'label-word');
      assert.equal(native.source, 'label-word');
      labels.run(
        setOf('a'),
        () => assert.equal(native.labelWord[0], hasContextFrame ? 0 : labels.currentId()),
        undefined,
        [],
      );
      labels.disconnect();
    }
  });

  it('refuses an addon with another table size', () => {
    const native = { ...fakeNative(), sampledLabels: new Uint8Array(16) };
    assert.throws(() => new ActiveLabels().connect(native), /16/);
  });

  if (hasContextFrame) {
    console.log('The label slot is not tested: this Node has AsyncContextFrame');
    return;
  }

  describe('in the slot', () => {
    let labels;
    let native;
    let a;
    let b;
    const run = (set, fn) => labels.run(set, fn, undefined, []);
    const assertIn = (set) => {
      assert.equal(labels.current(), set);
      assert.equal(native.labelWord[0], set?.id ?? 0);
    };

    beforeEach(() => {
      labels = new ActiveLabels();
      native = fakeNative();
      [a, b] = [setOf('a'), setOf('b')];
      assert.equal(labels.connect(native), 'label-word');
    });
    afterEach(() => {
      assertIn(undefined);
      labels.disconnect();
    });

    it('follows calls that nest, return and throw', () => {
      run(a, () => {
        assertIn(a);
        run(b, () => assertIn(b));
        assertIn(a);
        run(undefined, () => assertIn(undefined));
        assertIn(a);
        assert.throws(() =>
          run(b, () => {
            throw new Error('from fn');
          }),
        );
        assertIn(a);
      });
      assertIn(undefined);
    });

    it('follows every kind of callback, between callbacks of others', async () => {
      const hops = {
        await: async () => null,
        then: () => Promise.resolve().then(() => undefined),
        timer: () => sleep(1),
        immediate: () => new Promise((resolve) => setImmediate(resolve)),
        tick: () => new Promise((resolve) => process.nextTick(resolve)),
        microtask: () => new Promise((resolve) => queueMicrotask(resolve)),
        thenable: async () => ({
          then: (resolve) => {
            assert.notEqual(labels.currentId(), 0);
            assert.equal(native.labelWord[0], labels.currentId());
            resolve();
          },
        }),
      };
      const flow = (set) =>
        run(set, async () => {
          for (let round = 0; round < 5; round++) {
            for (const hop of Object.values(hops)) {
              await hop();
              assertIn(set);
            }
          }
        });
      const unlabelled = async () => {
        for (let round = 0; round < 20; round++) {
          await hops.immediate();
          assertIn(undefined);
          await null;
          assertIn(undefined);
        }
      };
      await Promise.all([flow(a), flow(b), unlabelled(), flow(a), unlabelled()]);
    });

    it('goes back to the outer flow after a scope that code enters by itself', async () => {
      const ofB = run(b, () => new AsyncResource('test'));
      const ofNone = new AsyncResource('test');
      const check = () => {
        assertIn(a);
        ofB.runInAsyncScope(() => {
          assertIn(b);
          ofNone.runInAsyncScope(() => {
            assertIn(undefined);
            run(a, () => ofB.runInAsyncScope(() => assertIn(b)));
            assertIn(undefined);
          });
          assertIn(b);
        });
        assertIn(a);
        assert.throws(() =>
          ofB.runInAsyncScope(() => {
            assertIn(b);
            throw new Error('from fn');
          }),
        );
        assertIn(a);
      };
      await run(a, async () => {
        check();
        await null;
        check();
      });
    });

    it('follows what is entered for the rest of a flow, and restored', async () => {
      await run(a, async () => {
        await null;
        const before = labels.currentId();
        labels.enter(b);
        assertIn(b);
        await null;
        assertIn(b);
        labels.restore(before);
        assertIn(a);
        await sleep(1);
        assertIn(a);
      });
    });

    it('is right at once in a flow that is under way when the sampler starts', async () => {
      labels.disconnect();
      await run(a, async () => {
        await null;
        run(b, () => {
          labels.connect(native);
          assertIn(b);
        });
        assertIn(a);
        await null;
        assertIn(a);
      });
    });

    it('is unlabelled at the end of scopes that were entered before the sampler started', () => {
      labels.disconnect();
      const ofB = run(b, () => new AsyncResource('test'));
      const ofNone = new AsyncResource('test');
      run(a, () => {
        ofB.runInAsyncScope(() => {
          labels.connect(native);
          assertIn(b);
          ofNone.runInAsyncScope(() => assertIn(undefined));
          assertIn(b);
        });
        assert.equal(native.labelWord[0], 0);
        // Not known to be in `a` any more: unlabelled until the next callback, never wrong.
        ofB.runInAsyncScope(() => assertIn(b));
        assert.equal(native.labelWord[0], 0);
      });
    });

    it('is empty once the sampler has stopped, whatever goes on', async () => {
      await run(a, async () => {
        await null;
        run(b, () => {
          labels.disconnect();
          assert.equal(native.labelWord[0], 0);
          assert.equal(labels.current(), b);
        });
        assert.equal(labels.current(), a);
        await null;
        assert.equal(labels.current(), a);
        assert.equal(native.labelWord[0], 0);
        labels.connect(native);
        assertIn(a);
      });
    });

    it('connects again, twice, and to another addon', async () => {
      const other = fakeNative();
      assert.equal(labels.connect(native), 'label-word');
      assert.equal(labels.connect(other), 'label-word');
      assert.equal(native.labelWord[0], 0);
      native = other;
      await run(a, async () => {
        await null;
        assertIn(a);
      });
      labels.disconnect();
      labels.disconnect();
    });

    it('does not disturb other storages and emitters', async () => {
      const other = new AsyncLocalStorage();
      const emitter = new EventEmitter();
      emitter.on('event', () => assertIn(a));
      await other.run('store', () =>
        run(a, async () => {
          await null;
          assert.equal(other.getStore(), 'store');
          emitter.emit('event');
        }),
      );
    });
  });

  it('leaves no label on the event loop, after exceptions and deep scopes too', () => {
    const fixture = fileURLToPath(new URL('../../support/label-word-child.cjs', import.meta.url));
    const result = JSON.parse(
      execFileSync(process.execPath, [...process.execArgv, fixture], { encoding: 'utf8' }),
    );
    assert.deepEqual(result, { caught: 3, wrong: [], atExit: 0, deep: 0 });
  });
});
