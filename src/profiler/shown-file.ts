/** Shortens the paths of functions' files, or leaves them out: the options `shortenPaths` and `stripFilenames`. */
import path from 'node:path';
import type { ResolvedCpuProfilerOptions } from '../options/options.js';

const NODE_MODULES = 'node_modules/';

type FileOptions = Pick<ResolvedCpuProfilerOptions, 'shortenPaths' | 'stripFilenames'>;

/** Returns a file as a profile shows it, or ''. */
export type FileOf = (file: string) => string;

/** Returns the working directory; undefined if it has been deleted. */
export function workingDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

export function shownFile(
  { shortenPaths, stripFilenames }: FileOptions,
  directory: string | undefined,
): FileOf {
  const root = directory === undefined ? undefined : path.join(directory, path.sep);
  return (file) => {
    const dependency = file.lastIndexOf(NODE_MODULES);
    if (stripFilenames === 'all' || (stripFilenames === 'dependencies' && dependency >= 0)) {
      return '';
    }
    if (!shortenPaths) return file;
    if (dependency >= 0) return file.slice(dependency + NODE_MODULES.length);
    return root !== undefined && file.startsWith(root) ? file.slice(root.length) : file;
  };
}
