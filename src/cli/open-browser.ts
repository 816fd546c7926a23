/** Opens a URL in the user's browser, if there is one. */
import { spawn } from 'node:child_process';

/** The command of each platform that opens a URL in the user's default browser. */
const OPENERS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  darwin: ['open'],
  linux: ['xdg-open'],
  win32: ['cmd', '/c', 'start', ''],
};

/** Resolves to whether the command was started. On Linux without a display there is no browser. */
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
