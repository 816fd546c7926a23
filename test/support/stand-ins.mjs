/** The stand-ins for Pyroscope and an OpenTelemetry collector, anew for each test of a describe(). */

import assert from 'node:assert/strict';
import { startCollector } from './otlp-collector.mjs';
import { PyroscopeServer } from './pyroscope-server.mjs';

/**
 * To be called in a describe(). A test fails where Pyroscope has had something to complain about.
 *
 * @returns What runs while a test does: `pyroscope` and `collector`; and `environment()`, which has
 *   a service under `register` and the auto-instrumentations send to them.
 */
export function useStandIns() {
  const standIns = {
    pyroscope: undefined,
    collector: undefined,
    environment: () => ({
      PYROSCOPE_SERVER_ADDRESS: standIns.pyroscope.url,
      PYROSCOPE_FLUSH_INTERVAL_MS: '1000',
      OTEL_EXPORTER_OTLP_ENDPOINT: standIns.collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_LOGS_EXPORTER: 'none',
      OTEL_NODE_RESOURCE_DETECTORS: 'env',
    }),
  };

  beforeEach(async () => {
    standIns.pyroscope = await PyroscopeServer.start();
    standIns.collector = await startCollector();
  });

  afterEach(async () => {
    await standIns.pyroscope.close();
    await standIns.collector.close();
    assert.deepEqual(standIns.pyroscope.complaints, []);
  });

  return standIns;
}
