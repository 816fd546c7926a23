/** Tracing and profiling of the service: node loads this file before it, by --require. */

'use strict';

const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { register, startPyroscope } = require('otelpyroscope');

// Samples have the id and the name of the request's span: its profile is the whole request.
register();

const sdk = new NodeSDK({
  instrumentations: [
    new HttpInstrumentation(),
    // It names the request's span after the route; spans of its own would only repeat that.
    new ExpressInstrumentation({ ignoreLayersType: ['middleware', 'request_handler', 'router'] }),
  ],
});
sdk.start();

// Names and addresses are in the environment: see compose.yaml.
const agent = startPyroscope();

process.once('SIGTERM', () => void Promise.all([agent.stop(), sdk.shutdown()]));
