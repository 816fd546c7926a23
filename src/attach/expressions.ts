/** JavaScript that the inspector evaluates in the other process, which may be CommonJS or ESM. */

/** The inspector's own `require` is for Node.js before 20.16. */
const BUILTIN = '(process.getBuiltinModule ?? require)';

/** The value is a `TargetInfo`. */
export const INFO = `({
  version: process.versions.node,
  runtime: process.release.name + Object.keys(process.versions).filter((name) => /^(bun|deno|electron)$/.test(name)),
  script: process.argv[1] ?? '',
  pid: process.pid,
})`;

/** The value is a promise that is fulfilled in the next turn of the event loop. */
export const NEXT_TURN = `new Promise((resolve) => ${BUILTIN}('node:timers').setImmediate(resolve, true))`;

/** Closes the inspector, and so the connection. */
export const CLOSE = `${BUILTIN}('node:inspector').close()`;

/** Loads a file, once. */
export function loading(file: string): string {
  const name = JSON.stringify(file);
  return `${BUILTIN}('node:module').createRequire(${name})(${name})`;
}

/**
 * The value is that of `code`, in an array; undefined, without an evaluation, in the middle of other
 * JavaScript: what `code` starts would belong to the async context of some request, which would live
 * as long as the package.
 */
export function betweenCallbacks(code: string): string {
  // The frames of an evaluation are the function, and the expression around it.
  return `((isNested) => isNested ? undefined : [${code}])((() => {
    const before = ['prepareStackTrace', 'stackTraceLimit'].map((name) => [name, Object.getOwnPropertyDescriptor(Error, name)]);
    try {
      Error.stackTraceLimit = 10;
      Error.prepareStackTrace = (error, frames) => frames.length;
      return new Error().stack > 2;
    } finally {
      for (const [name, own] of before) {
        if (own === undefined) delete Error[name];
        else Object.defineProperty(Error, name, own);
      }
    }
  })())`;
}

/** The value of an expression that was not evaluated. */
export const BUSY = 'busy';

/** The value is that of `code`, or `BUSY` in the middle of the work of a profiler in the process. */
export function outsideProfilers(module: string, code: string): string {
  return `(${module}.isBusy() ? '${BUSY}' : ${module}.${code})`;
}

/**
 * The value is the path of `file` in the process's own copy of the package, if it has one of that
 * protocol, else `ours`; '' if the process does not see that.
 */
export function finding(file: string, protocol: number, ours: string): string {
  return `((file, protocol, ours) => {
    const { createRequire } = ${BUILTIN}('node:module');
    const path = ${BUILTIN}('node:path');
    const { existsSync } = ${BUILTIN}('node:fs');
    try {
      const from = createRequire(process.argv[1] ?? path.join(process.cwd(), 'x'));
      const own = path.join(path.dirname(from.resolve('otelpyroscope/package.json')), file);
      if (existsSync(own) && from(own).PROTOCOL === protocol) return own;
    } catch {}
    return existsSync(ours) ? ours : '';
  })(${JSON.stringify(file)}, ${String(protocol)}, ${JSON.stringify(ours)})`;
}
