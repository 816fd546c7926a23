/** `node --require otelpyroscope/register` or `--import`: labels, and the agent if configured. */
import { isMainThread } from 'node:worker_threads';
import { startTimer } from './util/clock.js';
import { emitHeldWarnings, holdWarnings, warn } from './util/diagnostics.js';
import { readRegisterEnvironment } from './options/pyroscope.js';
import { isAgentRunning, startPyroscope } from './pyroscope/agent.js';
import { register } from './otel/register.js';

/** How long warnings wait for a logger, in milliseconds; then they are process warnings. */
const HOLD_MS = 5_000;

/** Never throws: no failure here may keep the application from starting. */
function start(): void {
  holdWarnings();
  try {
    const { enabled, hasServer, labels } = readRegisterEnvironment();
    if (!enabled) return;
    register(labels);
    // One agent profiles all threads of the process.
    if (hasServer && isMainThread && !isAgentRunning()) startPyroscope();
  } catch (error) {
    warn('otelpyroscope/register failed: there may be no labels and no profiles', error);
  }
}

start();
startTimer(emitHeldWarnings, HOLD_MS).unref();
process.once('beforeExit', emitHeldWarnings);
