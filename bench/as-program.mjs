/** Runs a bench by its own path: `node bench/start-up.mjs --rounds 3`. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Do not await this: the runner imports the bench, which must be evaluated by then. */
export async function runAsProgram(url) {
  const file = process.argv[1] === undefined ? '' : path.resolve(process.argv[1]);
  if (fileURLToPath(url) !== file) return;
  const { main } = await import('./run.mjs');
  await main([path.basename(file, '.mjs'), ...process.argv.slice(2)]);
}
