/** Says at the end of the suite which of its parts did not run, and why: a part left out is no success. */
const reasons = new Set();

exports.noteNotRun = (reason) => {
  reasons.add(reason);
};

exports.mochaHooks = {
  afterAll() {
    // After the report, which is the last that people read.
    process.once('exit', () => {
      for (const reason of reasons) console.log(`DID NOT RUN: ${reason}`);
    });
  },
};
