/** The same application with tracing and profiling in code: this file comes first. */
import { getNodeAutoInstrumentations } from '@opentelemetry/auto-instrumentations-node';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { register, startPyroscope } from 'otelpyroscope';

register();
const sdk = new NodeSDK({ instrumentations: [getNodeAutoInstrumentations()] });
sdk.start();
const agent = startPyroscope();
await import('./main.js');
process.once('SIGTERM', async () => {
  await Promise.all([agent.stop(), sdk.shutdown()]);
});
