/** The service's name from the resource of every SDK, also while detectors are running. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { setImmediate } from 'node:timers/promises';
import { register, TracerProvider } from 'otelpyroscope';
import { sdks } from '../../support/sdks.mjs';

const require = createRequire(import.meta.url);
const { serviceOfResource } = require('../../../lib/otel/resource.js');

for (const sdk of sdks) {
  describe(`the resource of OpenTelemetry SDK ${sdk.version}`, () => {
    let errors;
    let undo;
    beforeEach(() => {
      sdk.reset();
      errors = [];
      const note = (message) => errors.push(message);
      sdk.api.diag.setLogger({ error: note, warn: note, info() {}, debug() {}, verbose() {} });
    });
    afterEach(() => {
      undo();
      sdk.reset();
    });

    it('is read without an error while detectors are running, and again after them', async () => {
      let detect;
      const detected = new Promise((resolve) => (detect = resolve));
      const resource = sdk.createResource(
        { 'service.name': 'shop' },
        { 'service.namespace': detected },
      );
      const provider = sdk.createProvider({ resource });
      undo = register();
      sdk.registerProvider(new TracerProvider(provider), null);
      assert.deepEqual(serviceOfResource(), { name: 'shop', namespace: undefined });
      detect('market');
      // The SDK merges resources: the provider's is another one, which waits for this one.
      await resource.waitForAsyncAttributes();
      await setImmediate();
      assert.deepEqual(serviceOfResource(), { name: 'shop', namespace: 'market' });
      assert.deepEqual(errors, []);
    });
  });
}
