/** Writes the profile of `run` and `attach`, and prints what is in it to stderr. */
import path from 'node:path';
import { writeWholeFileSync } from '../util/whole-file.js';
import { readProfileFile } from './load-profile.js';
import { printMessage } from './messages.js';
import { summary, type Sampling } from './summary.js';

/** Writes the profile whole or not at all, then prints its summary and how to open it. */
export async function writeProfile(
  out: string,
  bytes: Uint8Array,
  sampling: Sampling,
): Promise<void> {
  writeWholeFileSync(out, bytes);
  const profile = await readProfileFile(out);
  const colours = process.stderr.isTTY && process.stderr.hasColors();
  process.stderr.write(`\n${summary(profile, sampling, colours)}\n`);
  printMessage(`profile: ${out}`);
  process.stderr.write(`  otelpyroscope view ${path.relative(process.cwd(), out)}\n`);
}
