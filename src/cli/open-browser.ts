/** Opens an address in the user's browser where there is one. */
import { spawn } from 'node:child_process';

/** The command of each platform that opens an address with what the user has set for it. */
const OPENERS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  darwin: ['open'],
  linux: ['xdg-open'],
  win32: ['cmd', '/c', 'start', ''],
};

/** Resolves to whether a browser was told. Without a display there is none. */
export function openBrowser(url: string, hasDisplay: boolean): Promise<boolean> {
  const [command, ...args] = OPENERS[process.platform] ?? [];
  if (command === undefined || (process.platform === 'linux' && !hasDisplay)) {
    return Promise.resolve(false);
  }
  return new Promise((resolve) => {
    const child = spawn(command, [...args, url], { stdio: 'ignore', detached: true });
    child.once('error', () => {
      resolve(false);
    });
    child.once('spawn', () => {
      child.unref();
      resolve(true);
    });
  });
}
