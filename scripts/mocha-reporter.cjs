/** Mocha's "spec" reporter, which also appends the counts of a run to the file that MOCHA_SUMMARY names. */
const { appendFileSync } = require('node:fs');
const { reporters } = require('mocha');

class SummaryReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const file = process.env.MOCHA_SUMMARY;
      if (!file) return;
      const { passes, failures, pending } = runner.stats;
      appendFileSync(
        file,
        `${JSON.stringify({ node: process.version, passes, failures, pending })}\n`,
      );
    });
  }
}

module.exports = SummaryReporter;
