/** Runs every rule on every OpenTelemetry SDK that this Node can run, with each context manager. */
import { contextManagerRules } from './rules/context-manager.mjs';
import { cpuTimeRules } from './rules/cpu-time.mjs';
import { labelRules } from './rules/label-rules.mjs';
import { setUpRules } from './rules/set-up.mjs';
import { spanNameRules } from './rules/span-names.mjs';
import { sdks } from '../../support/sdks.mjs';

for (const sdk of sdks) {
  describe(`OpenTelemetry SDK ${sdk.version}`, () => {
    describe('set-up', () => setUpRules(sdk));
    for (const [name, contextManager] of Object.entries(sdk.contextManagers)) {
      describe(`labels of spans, with ${name}`, () => labelRules(sdk, contextManager));
      describe(`names of spans, with ${name}`, () => spanNameRules(sdk, contextManager));
      describe(`CPU time of spans, with ${name}`, () => cpuTimeRules(sdk, contextManager));
      describe(name, () => contextManagerRules(sdk, contextManager));
    }
  });
}
