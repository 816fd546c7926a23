/** Mocha's "spec" reporter, which also appends counts and failures of a run to the file that MOCHA_SUMMARY names. */
const { appendFileSync } = require('node:fs');
const { reporters } = require('mocha');

class SummaryReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const failed = [];
    runner.on('fail', (test, error) => {
      failed.push({ title: test.fullTitle(), error: error.stack ?? String(error) });
    });
    runner.once('end', () => {
      const file = process.env.MOCHA_SUMMARY;
      if (!file) return;
      const { passes, failures, pending } = runner.stats;
      appendFileSync(
        file,
        `${JSON.stringify({ node: process.version, passes, failures, pending, failed })}\n`,
      );
    });
  }
}

module.exports = SummaryReporter;
