/** The main program where it is not a file of its own: in a snapshot, or in the executable. */

const { createRequire } = require('node:module');

const load = createRequire(process.env.TORTURE_PACKAGE);
const { Tortured } = load('./test/robustness/programs/harness.mjs');
const { withLabels } = load('otelpyroscope');

/** One that the snapshot has brought along, or a new one. */
const task_embedded = globalThis.task_embedded ?? makeWork();

function makeWork() {
  return function task_embedded(n) {
    const made = [];
    for (let i = 0; i < n; i++) made[i % 100] = { i, text: `x${i}`, inner: [i] };
    return made.length;
  };
}

const tortured = new Tortured();
tortured.run(async () => {
  const begin = process.cpuUsage();
  for (let step = 0; process.cpuUsage(begin).user < 500_000; step++) {
    withLabels({ task: 'embedded' }, () => task_embedded(2_000));
    // The code of the snapshot is compiled here, and more comes.
    if (step % 10 === 0) new Function(`return ${step}`)();
    await new Promise(setImmediate);
  }
});
