/** A program whose labelled callbacks throw: prints the label word in unlabelled code. */
const { AsyncResource } = require('node:async_hooks');
const { ActiveLabels } = require('../../lib/labels/active-labels.js');
const { MAX_SCOPES } = require('../../lib/labels/label-word-hook.js');
const { createLabelSet, createUserLabels } = require('../../lib/labels/label-set.js');
const { LABEL_TABLE_SIZE } = require('../../lib/labels/label-table.js');

const labels = new ActiveLabels();
const native = {
  labelWord: new Int32Array(1),
  sampledLabels: new Uint8Array(LABEL_TABLE_SIZE),
  labelCpuNanos: () => new Float64Array(LABEL_TABLE_SIZE),
  setLabelTable: () => undefined,
  setLabelStorage: () => undefined,
  probeLabel: () => 0,
  setLabelSource: (source) => source === 'label-word',
};
labels.connect(native);

const set = createLabelSet(undefined, createUserLabels(['name'], ['a']));
const inLabel = (fn) => labels.run(set, fn, undefined, []);
const result = { caught: 0, wrong: [], atExit: -1, deep: -1, rejections: [], listeners: [] };
const check = (where) => {
  if (native.labelWord[0] !== 0) result.wrong.push(where);
};
const fail = () => {
  if (native.labelWord[0] !== set.id) result.wrong.push('not labelled before it throws');
  throw new Error('expected');
};

process.on('uncaughtException', (error) => {
  if (error.message !== 'expected') throw error;
  result.caught++;
});

// Ours is there with the first of the program's, and goes with the last.
const countListeners = () => result.listeners.push(process.listenerCount('unhandledRejection'));
const onRejection = () => result.rejections.push(native.labelWord[0] === set.id);
const reject = () => void Promise.reject(new Error('rejected'));
inLabel(() => setTimeout(fail, 1));
countListeners();
process.on('unhandledRejection', onRejection);
countListeners();
inLabel(reject);
setTimeout(reject, 9);
setTimeout(() => inLabel(reject), 10);
setTimeout(() => {
  process.off('unhandledRejection', onRejection);
  countListeners();
}, 20);
inLabel(() => process.nextTick(() => new AsyncResource('outer').runInAsyncScope(fail)));
inLabel(() =>
  setTimeout(() => {
    inLabel(() => process.nextTick(fail));
  }, 2),
);
for (let ms = 1; ms < 8; ms++) setTimeout(() => check(`timer ${ms}`), ms);
setImmediate(() => check('immediate'));
setTimeout(() => check('timer after a rejection'), 11);

// More nested scopes than MAX_SCOPES: unlabelled, not wrong.
const nested = inLabel(() => new AsyncResource('nested'));
const dive = (depth) => {
  if (depth > 0) nested.runInAsyncScope(dive, undefined, depth - 1);
};
setTimeout(() => {
  dive(MAX_SCOPES + 10);
  result.deep = native.labelWord[0];
}, 10);

process.on('exit', () => {
  // Called in no async scope: this is the label id of the event loop itself.
  result.atExit = native.labelWord[0];
  process.stdout.write(JSON.stringify(result));
});
