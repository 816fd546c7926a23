/** The current labels and the two sources from which a sampler reads them, with a fake addon. */
import assert from 'node:assert/strict';
import {
  AsyncLocalStorage,
  AsyncResource,
  createHook,
  executionAsyncResource,
} from 'node:async_hooks';
import { execFileSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { sleep } from '../../support/labels.mjs';

const require = createRequire(import.meta.url);
const { ActiveLabels } = require('../../../lib/labels/active-labels.js');
const { LabelWordHook } = require('../../../lib/labels/label-word-hook.js');
const { createLabelSet, createUserLabels } = require('../../../lib/labels/label-set.js');
const { LABEL_TABLE_SIZE, PROBE_IDS } = require('../../../lib/labels/label-table.js');

/** Whether this Node.js has AsyncContextFrame, in which no async_hooks hook finds a callback's store. */
const hasContextFrame = (() => {
  const storage = new AsyncLocalStorage();
  const resource = storage.run('inner', () => new AsyncResource('test'));
  let seen;
  const hook = createHook({ before: () => (seen = storage.getStore()) }).enable();
  storage.run('outer', () => resource.runInAsyncScope(() => undefined));
  hook.disable();
  return seen !== 'inner';
})();

const setOf = (name) => createLabelSet(undefined, createUserLabels(['name'], [name]));

/** The stores that the addon can read, if any: in context frames, or in async resources. */
const STORES = hasContextFrame ? 'continuation' : 'async-resource';

/** Returns the store of the running code under the key that the addon was given. */
const storeOf = (key) => (typeof key === 'symbol' ? executionAsyncResource()[key] : key.getStore());

/** The addon's part for labels; `stores`: whether it can read them. */
function fakeNative({ stores = false, refused = false } = {}) {
  return {
    labelWord: new Int32Array(1),
    sampledLabels: new Uint8Array(LABEL_TABLE_SIZE),
    labelCpuNanos: () => new Float64Array(LABEL_TABLE_SIZE),
    storage: null,
    source: 'label-word',
    setLabelTable() {},
    setLabelStorage(storage) {
      this.storage = storage;
    },
    learnResources: () => stores,
    probeLabel() {
      return stores ? (storeOf(this.storage) ?? 0) : 0;
    },
    setLabelSource(source) {
      if (source === STORES && refused) return false;
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

  it('gives a set an id when it first becomes current, and no other later', () => {
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

  it('leaves an async context without labels, never with wrong ones, when newer sets took its index', async () => {
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

  it('counts a dropped set once if a sample or an async context still has its id, ended or not', () => {
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

  it('replaces the storage when ids run out, so that existing async contexts lose their labels', async () => {
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

  it('replaces the storage of the addon also while it is disconnected', () => {
    const labels = new ActiveLabels(0x3fff_ffff);
    const native = fakeNative();
    labels.connect(native);
    labels.disconnect();
    const before = native.storage;
    labels.run(setOf('last'), () => undefined, undefined, []);
    labels.run(
      setOf('next'),
      () => {
        assert.notEqual(native.storage, before);
        assert.equal(storeOf(native.storage), 0x4000_0000);
      },
      undefined,
      [],
    );
  });

  it('has its ids read from the stores if the addon can, and writes no label word then', async () => {
    const labels = new ActiveLabels();
    const native = fakeNative({ stores: true });
    labels.run(setOf('first'), () => 0, undefined, []);
    assert.equal(labels.connect(native), STORES);
    assert.equal(native.source, STORES);
    await labels.run(
      setOf('a'),
      async () => {
        await sleep(1);
        assert.equal(native.probeLabel(), labels.currentId());
        assert.equal(native.labelWord[0], 0);
      },
      undefined,
      [],
    );
    labels.disconnect();
  });

  it('probes with ids that no set ever has, and leaves none of them current', () => {
    const labels = new ActiveLabels();
    const native = fakeNative({ stores: true });
    const seen = [];
    const probe = native.probeLabel;
    native.probeLabel = function () {
      seen.push(storeOf(this.storage));
      return probe.call(this);
    };
    labels.run(setOf('first'), () => 0, undefined, []);
    labels.connect(native);
    assert.deepEqual([...new Set(seen)].sort(), [...PROBE_IDS]);
    assert.equal(storeOf(native.storage) ?? 0, 0);
    labels.disconnect();
  });

  it('falls back to the label word, or to no labels, if the probe fails or the addon refuses', () => {
    const stuck = fakeNative({ stores: true });
    stuck.probeLabel = () => PROBE_IDS[0];
    const refused = fakeNative({ stores: true, refused: true });
    for (const native of [fakeNative(), stuck, refused]) {
      const labels = new ActiveLabels();
      labels.run(setOf('first'), () => 0, undefined, []);
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

  it('refuses an addon whose label table has another size', () => {
    const native = { ...fakeNative(), sampledLabels: new Uint8Array(16) };
    assert.throws(() => new ActiveLabels().connect(native), /16/);
  });

  it('goes on without a label, and counts, where the async hook cannot read one', () => {
    const word = new Int32Array([7]);
    const hook = new LabelWordHook(word, () => {
      throw new Error('of a broken AsyncLocalStorage');
    });
    hook.enable(7);
    const inside = new AsyncResource('test').runInAsyncScope(() => word[0]);
    assert.deepEqual([inside, word[0]], [0, 7]);
    hook.disable();
    assert.equal(hook.failures, 1);
  });

  if (hasContextFrame) {
    console.log('The label word is not tested: this Node.js has AsyncContextFrame');
    return;
  }

  describe('with the label word', () => {
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
      assert.equal(labels.connect(native), undefined);
    });
    afterEach(() => {
      assertIn(undefined);
      labels.disconnect();
    });

    it('writes the right id in nested calls, after returns and after throws', () => {
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

    it('writes the right id in every kind of callback, between callbacks of other async contexts', async () => {
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
      const work = (set) =>
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
      await Promise.all([work(a), work(b), unlabelled(), work(a), unlabelled()]);
    });

    it('writes the outer id again after a scope that code enters by runInAsyncScope', async () => {
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

    it('writes the id of an enter for the rest of an async context, and of its restore', async () => {
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

    it('writes the right id at once in an async context that exists when the sampler starts', async () => {
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

    it('clears the label word at the end of scopes that were entered before the sampler started', () => {
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
        // The hook does not know the id of `a`: unlabelled until the next callback, never wrong.
        ofB.runInAsyncScope(() => assertIn(b));
        assert.equal(native.labelWord[0], 0);
      });
    });

    it('clears the label word when the sampler stops, and writes it no more', async () => {
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

    it('connects again, twice to the same addon, and to another addon', async () => {
      const other = fakeNative();
      assert.equal(labels.connect(native), undefined);
      run(a, () => assertIn(a));
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

    it('does not change other storages and emitters', async () => {
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

  it('leaves no label id in the event loop, also after exceptions and deep scopes', () => {
    const fixture = fileURLToPath(new URL('../../support/label-word-child.cjs', import.meta.url));
    const result = JSON.parse(
      execFileSync(process.execPath, [...process.execArgv, fixture], { encoding: 'utf8' }),
    );
    const rejections = [true, false, true];
    const expected = { caught: 3, wrong: [], atExit: 0, deep: 0, rejections, listeners: [0, 2, 0] };
    assert.deepEqual(result, expected);
  });
});
