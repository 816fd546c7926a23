/** The HTTP proxy of the environment, as Node.js itself reads it with `NODE_USE_ENV_PROXY=1`. */
import { readEnvironment } from './options.js';

/** Returns the proxy for requests to `url`; undefined for none. Throws a TypeError if it is no URL. */
export function proxyFor(url: URL): URL | undefined {
  const isOn =
    readEnvironment('NODE_USE_ENV_PROXY') === '1' || process.execArgv.includes('--use-env-proxy');
  if (!isOn || isExempt(url)) return undefined;
  const variable = url.protocol === 'https:' ? 'https_proxy' : 'http_proxy';
  const text = readEither(variable);
  if (text === undefined) return undefined;
  try {
    return new URL(text.includes('://') ? text : `http://${text}`);
  } catch {
    // Without the text, which may contain a password.
    throw new TypeError(`${variable.toUpperCase()} is no URL`);
  }
}

/** Whether `NO_PROXY` names the host: itself, `.domain` or `*.domain`, each with a port or without. */
function isExempt(url: URL): boolean {
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  return (readEither('no_proxy') ?? '')
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      const [, name = '', entryPort = port] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? [];
      if (name === '' || entryPort !== port) return false;
      return /^[.*]/.test(name)
        ? url.hostname.endsWith(name.replace(/^\*/, ''))
        : url.hostname === name;
    });
}

function readEither(variable: string): string | undefined {
  return readEnvironment(variable) ?? readEnvironment(variable.toUpperCase());
}
