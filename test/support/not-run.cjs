/** Collects which tests did not run, and why; the reporter prints it: a test left out is no success. */
const reasons = new Set();

exports.noteNotRun = (reason) => {
  reasons.add(reason);
};

exports.notRun = () => [...reasons];
