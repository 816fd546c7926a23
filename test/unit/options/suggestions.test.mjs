/** Checks which name a misspelt option or variable is taken for. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { closest } = require('../../../lib/options/suggestions.js');
const { VARIABLES } = require('../../../lib/options/environment.js');

describe('a misspelt name', () => {
  it('is taken for the one that it is like', () => {
    const options = ['applicationName', 'serverAddress', 'tenantId', 'flushIntervalMs', 'tags'];
    const meant = {
      appName: 'applicationName',
      ApplicationName: 'applicationName',
      aplicationName: 'applicationName',
      tenantID: 'tenantId',
      tenant_id: 'tenantId',
      serverAddr: 'serverAddress',
      flushIntervalMS: 'flushIntervalMs',
      tag: 'tags',
      interval: undefined,
      server: undefined,
    };
    for (const [name, expected] of Object.entries(meant)) {
      assert.equal(closest(name, options), expected, name);
    }
  });

  it('of a variable is none of those that others set', () => {
    const meant = {
      PYROSCOPE_APP_NAME: 'PYROSCOPE_APPLICATION_NAME',
      PYROSCOPE_TENANTID: 'PYROSCOPE_TENANT_ID',
      PYROSCOPE_SERVER_ADRESS: 'PYROSCOPE_SERVER_ADDRESS',
      PYROSCOPE_PORT: undefined,
      PYROSCOPE_PORT_4040_TCP: undefined,
      PYROSCOPE_SERVICE_HOST: undefined,
      PYROSCOPE_SERVICE_PORT: undefined,
      PYROSCOPE_LOG_LEVEL: undefined,
    };
    for (const [name, expected] of Object.entries(meant)) {
      assert.equal(closest(name, VARIABLES), expected, name);
    }
  });
});

describe('the list of variables', () => {
  it('has all that the options are read from', () => {
    const source = readFileSync(
      new URL('../../../src/options/pyroscope.ts', import.meta.url),
      'utf8',
    );
    const read = source.match(/(?<=')PYROSCOPE_[A-Z_]+(?=')/g);
    assert.deepEqual([...new Set(read)].sort(), VARIABLES);
  });
});
