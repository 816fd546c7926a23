/** Where `otelpyroscope build` keeps a binary if the package's own folder cannot be written. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { VERSION } from '../util/version.js';

/** Bits of a mode by which the group, or everybody, may write. */
const OTHERS_WRITE = 0o022;
/** In a folder with this bit, such as /tmp, only the owner of a file may rename or delete it. */
const STICKY = 0o1000;

/** Returns the folder of all binaries that this user has compiled. */
export function cacheFolder(cacheHome: string): string {
  return path.join(cacheHome, 'otelpyroscope');
}

/**
 * Returns the folder, in `cacheFolder`, for exactly this version of the package and of its sources,
 * which it reads. Throws if they are not there.
 */
export function versionFolder(cacheHome: string, packageRoot: string): string {
  const digest = digestOf(path.join(packageRoot, 'native')).slice(0, 16);
  return path.join(cacheFolder(cacheHome), `${VERSION}-${digest}`);
}

/** Returns the SHA-256 of the names and contents of the files in `folder`. */
function digestOf(folder: string): string {
  const hash = createHash('sha256');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  for (const name of names) {
    const file = path.join(folder, name);
    if (!statSync(file).isFile()) continue;
    const content = readFileSync(file);
    hash.update(`${name}\n${String(content.length)}\n`).update(content);
  }
  return hash.digest('hex');
}

/**
 * Returns the path, of `file` itself or of a folder above it, that another user than this one and
 * root can write to, and so could have put another file there; undefined if there is none. Throws if
 * the file does not exist.
 */
export function writableByOthers(file: string): string | undefined {
  const user = process.geteuid?.();
  for (let each = realpathSync(file); ; each = path.dirname(each)) {
    const status = statSync(each);
    const isOwn = status.uid === user || status.uid === 0;
    const isProtected =
      (status.mode & OTHERS_WRITE) === 0 || (status.isDirectory() && (status.mode & STICKY) !== 0);
    if (!isOwn || !isProtected) return each;
    if (each === path.dirname(each)) return undefined;
  }
}
