/** The Chromium on the PATH, or that CHROMIUM names, for tests of pages: one for each run of a file, with a new profile folder. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { findProgram } from './needs.mjs';
import { ROOT } from './run-child.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? findProgram('chromium');
/** Nothing that looks for a network, which there may be none. */
const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];
/** Pictures of the page, for people; not in git. */
export const PICTURES = path.join(ROOT, 'test', '.pictures');

export function hasBrowser() {
  return EXECUTABLE !== undefined && existsSync(EXECUTABLE);
}

/** @returns {Promise<{ context: import('playwright-core').BrowserContext, close: () => Promise<void> }>} */
export async function openBrowser() {
  const { chromium } = await import('playwright-core');
  const folder = mkdtempSync(path.join(os.tmpdir(), 'chromium-'));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: EXECUTABLE,
    headless: true,
    args: FLAGS,
    viewport: { width: 1280, height: 800 },
  });
  context.setDefaultTimeout(20_000);
  mkdirSync(PICTURES, { recursive: true });
  return {
    context,
    async close() {
      await context.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
