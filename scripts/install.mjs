/** npm's `install` script: builds the binary for this Node if it is missing; never fails a dependent's install. */
import { existsSync } from 'node:fs';
import {
  binaryPath,
  buildNative,
  describeNode,
  isCheckout,
  messageOf,
} from './lib/native-build.mjs';

function install() {
  if (process.platform !== 'linux') return;
  const node = describeNode();
  // A checkout's binary may be older than its sources.
  if (!isCheckout && existsSync(binaryPath(node))) return;
  buildNative(node);
}

try {
  install();
} catch (error) {
  if (isCheckout) {
    console.error(`otelpyroscope: ${messageOf(error)}`);
    process.exitCode = 1;
  } else {
    console.warn(
      `otelpyroscope: the profiler's binary could not be built, so CpuProfiler.start() will fail ` +
        `with ERR_NATIVE_MISSING; labels work without it. Reason: ${messageOf(error)}`,
    );
  }
}
