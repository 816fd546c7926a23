/** `otelpyroscope view`: serves the viewer's page for one profile on the loopback interface. */
import { once } from 'node:events';
import { basename } from 'node:path';
import { hasDisplay } from '../options/options.js';
import { startViewer } from '../viewer-server/server.js';
import { fileSource } from '../viewer-server/source.js';
import { CommandError, parseCommand, UsageError, wholeNumber } from './arguments.js';
import { openBrowser } from './open-browser.js';
import { isUrl, readProfileFrom } from './load-profile.js';
import { printable } from './text.js';

export const VIEW_HELP = `Usage: otelpyroscope view FILE|URL [options]

Shows a pprof profile in the browser: traces and spans by CPU, flame graphs,
differences. The page is served on 127.0.0.1 until Ctrl-C.

  --port N     default: any that is free
  --no-open    only print the address
`;

/** Resolves to the exit code after SIGINT or SIGTERM. */
export async function view(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommand(args, {
    port: { type: 'string', default: '0' },
    'no-open': { type: 'boolean', default: false },
  });
  const [target, ...rest] = positionals;
  if (target === undefined) throw new UsageError('view needs a FILE or URL');
  if (rest.length > 0) throw new UsageError(`one FILE or URL only, not also ${rest.join(' ')}`);
  const port = wholeNumber('--port', values.port, 0, 65_535);
  if (isUrl(target)) process.stderr.write(`Getting ${target} …\n`);

  const profile = await readProfileFrom(target);
  const title = printable(isUrl(target) ? target : basename(target));
  const { server, url } = await startViewer(fileSource(title, profile), { port }).catch(
    (error: unknown) => {
      throw new CommandError(`cannot listen: ${(error as Error).message}`);
    },
  );
  // Before the address is printed: without a listener a signal would end the process as a failure.
  const ending = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  process.stdout.write(`${title}: ${url}\n`);
  const opened = !values['no-open'] && (await openBrowser(url, hasDisplay()));
  process.stderr.write(`${opened ? 'Opened in the browser. ' : ''}Ctrl-C ends it.\n`);
  await ending;
  server.closeAllConnections();
  server.close();
  return 0;
}
