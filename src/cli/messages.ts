/** Prints what the command line says beside its output, to stderr. */
import type { SampleClock } from '../options/options.js';

export function printMessage(text: string): void {
  process.stderr.write(`otelpyroscope: ${text}\n`);
}

/** Says so if the clock in use is not the one that was asked for. */
export function printRefusedClock(asked: SampleClock, inUse: SampleClock): void {
  if (inUse === asked) return;
  printMessage(`the system refused the clock "${asked}": samples are taken at its ticks`);
}
