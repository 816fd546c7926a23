/** The process that `attach` profiles, as /proc shows it: may it be signalled, and where does its inspector listen? */
import {
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  closeSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { statOf } from '../util/processes.js';

/** Why a process is not profiled, as a sentence. It has not been touched then. */
export class AttachError extends Error {}

/** Text that Node.js prints when its inspector is connected at the end: the inspector is built in. */
const INSPECTOR_TEXT = 'Waiting for the debugger to disconnect';
/** Other runtimes that may contain that text; their SIGUSR1 is their own. */
const OTHER_RUNTIMES = /^(bun|deno|electron)/i;
/** Bit of SIGUSR1 (10) in the masks of /proc/PID/status. */
const SIGUSR1_BIT = 1n << 9n;
const CHUNK_BYTES = 1 << 20;
const LISTEN = '0A';
const DEFAULT_INSPECTOR_PORT = 9229;

/** A socket that listens on the loopback interface, or on all. */
export interface ListeningSocket {
  readonly inode: string;
  readonly host: string;
  readonly port: number;
}

/** A Node.js process, checked to be one that survives SIGUSR1. */
export class TargetProcess {
  readonly pid: number;
  /** Options of Node.js on the command line and in NODE_OPTIONS. */
  readonly #options: readonly string[];

  /** Throws an AttachError. */
  constructor(pid: number) {
    this.pid = pid;
    const status = this.#status();
    this.#options = this.#readOptions(status);
    this.#checkExecutable();
    this.#checkOptions();
    if ((BigInt(`0x${status.get('SigCgt') ?? '0'}`) & SIGUSR1_BIT) === 0n) {
      throw this.refusal(
        'does not react to SIGUSR1: it was built without an inspector, or switched that off',
      );
    }
    if (statOf(pid)?.isStopped === true) {
      throw this.refusal('is stopped (SIGSTOP): let it go on first');
    }
    if (!this.#sharesNetwork()) {
      throw this.refusal(
        'is in another network namespace, where its inspector cannot be reached: run otelpyroscope in its container',
      );
    }
  }

  /** Whether its command line or NODE_OPTIONS opens an inspector. */
  get startsInspector(): boolean {
    return this.#options.some((option) => /^--inspect(-brk|-wait)?(=|$)/.test(option));
  }

  /** The port at which SIGUSR1 opens its inspector; 0 for any. */
  get inspectorPort(): number {
    const given = this.#options.map(
      (option) => /^--(?:inspect|debug)-port=(?:.*:)?(\d+)$/.exec(option)?.[1],
    );
    return Number(given.filter((port) => port !== undefined).at(-1) ?? DEFAULT_INSPECTOR_PORT);
  }

  /** Whether it has a thread that serves an inspector, where this Node.js names its threads. */
  get hasInspectorThread(): boolean {
    try {
      return readdirSync(this.#path('task')).some(
        (id) => this.#read(path.join('task', id, 'comm')).trim() === 'InspectorIo',
      );
    } catch {
      return false;
    }
  }

  /** Returns the sockets of this process that listen. */
  listeningSockets(): ListeningSocket[] {
    const own = new Set<string>();
    try {
      for (const fd of readdirSync(this.#path('fd'))) {
        const inode = /^socket:\[(\d+)\]$/.exec(linkOf(this.#path(path.join('fd', fd))))?.[1];
        if (inode !== undefined) own.add(inode);
      }
    } catch {
      throw this.#gone();
    }
    return ['tcp', 'tcp6']
      .flatMap((table) => this.#listening(table))
      .filter(({ inode }) => own.has(inode));
  }

  /** Whether some process listens at that port. */
  isPortTaken(port: number): boolean {
    return ['tcp', 'tcp6'].some((table) =>
      this.#listening(table).some((socket) => socket.port === port),
    );
  }

  /** Sends SIGUSR1, which opens the inspector. Throws an AttachError. */
  signal(): void {
    try {
      process.kill(this.pid, 'SIGUSR1');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EPERM') throw this.#foreign();
      throw this.#gone();
    }
  }

  /** Whether the process still has that socket. */
  listens(inode: string): boolean {
    try {
      return this.listeningSockets().some((socket) => socket.inode === inode);
    } catch {
      return false;
    }
  }

  refusal(reason: string): AttachError {
    return new AttachError(`process ${String(this.pid)} ${reason}`);
  }

  #status(): Map<string, string> {
    let text: string;
    try {
      text = this.#read('status');
    } catch {
      throw new AttachError(`there is no process ${String(this.pid)}`);
    }
    const status = new Map(
      text.split('\n').map((line) => {
        const [name = '', value = ''] = line.split(':\t');
        return [name, value.trim()] as const;
      }),
    );
    const process = status.get('Tgid');
    if (process !== String(this.pid)) {
      throw new AttachError(
        `${String(this.pid)} is a thread of process ${String(process)}: attach to that`,
      );
    }
    if (status.get('State')?.startsWith('Z') === true) throw this.#gone();
    return status;
  }

  #readOptions(status: ReadonlyMap<string, string>): string[] {
    try {
      const [, ...argv] = this.#read('cmdline').split('\0');
      const ofProgram = argv.findIndex((argument) => !argument.startsWith('-'));
      const variables = this.#read('environ').split('\0');
      const inherited =
        variables.find((variable) => variable.startsWith('NODE_OPTIONS='))?.slice(13) ?? '';
      // An option whose value is an argument of its own hides those behind it; NODE_OPTIONS first.
      const given = ofProgram < 0 ? argv : argv.slice(0, ofProgram);
      return [...inherited.split(/\s+/), ...given];
    } catch {
      const uid = status.get('Uid')?.split('\t')[0];
      throw uid === String(process.getuid?.()) ? this.#gone() : this.#foreign();
    }
  }

  #checkExecutable(): void {
    const executable = linkOf(this.#path('exe'));
    const name = path.basename(executable.replace(/ \(deleted\)$/, ''));
    if (executable === '') throw this.#foreign();
    // Distributions may have Node.js in a library.
    const library = /^.* (\/.*\/libnode\.so\S*)$/m.exec(this.#read('maps'))?.[1];
    const files = [
      this.#path('exe'),
      ...(library === undefined ? [] : [this.#path(`root${library}`)]),
    ];
    if (OTHER_RUNTIMES.test(name) || !files.some((file) => contains(file, INSPECTOR_TEXT))) {
      throw this.refusal(`is not Node.js, or a Node.js without an inspector (${executable})`);
    }
  }

  #checkOptions(): void {
    const refusals: readonly (readonly [RegExp, string])[] = [
      [
        /^--disable-sigusr1$/,
        'was started with --disable-sigusr1, so its inspector cannot be opened',
      ],
      [
        /^--(experimental-)?permission$/,
        'runs under the permission model, which forbids the inspector and addons',
      ],
      [/^--no-addons$/, 'was started with --no-addons, so the sampler cannot be loaded'],
    ];
    for (const [pattern, reason] of refusals) {
      if (this.#options.some((option) => pattern.test(option))) throw this.refusal(reason);
    }
  }

  #sharesNetwork(): boolean {
    return linkOf(this.#path('ns/net')) === linkOf('/proc/self/ns/net');
  }

  #listening(table: string): ListeningSocket[] {
    let text: string;
    try {
      text = this.#read(path.join('net', table));
    } catch {
      return [];
    }
    return text.split('\n').flatMap((line) => {
      // Fields: number, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode.
      const fields = line.trim().split(/\s+/);
      const [address = '', port = ''] = (fields[1] ?? '').split(':');
      if (fields[3] !== LISTEN) return [];
      return [{ inode: fields[9] ?? '', host: hostOf(address), port: parseInt(port, 16) }];
    });
  }

  #foreign(): AttachError {
    return this.refusal('belongs to another user: run otelpyroscope as that user, or as root');
  }

  #gone(): AttachError {
    return this.refusal('has ended');
  }

  #read(file: string): string {
    return readFileSync(this.#path(file), 'utf8');
  }

  #path(file: string): string {
    return path.join('/proc', String(this.pid), file);
  }
}

/** Returns the target of a link of /proc, or '' if it may not be read. */
function linkOf(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}

/** Returns where a socket with this address, in hexadecimal digits of the kernel, can be reached. */
function hostOf(address: string): string {
  if (address.length === 8) {
    const bytes = Buffer.from(address, 'hex').reverse();
    return bytes.every((byte) => byte === 0) ? '127.0.0.1' : bytes.join('.');
  }
  return '::1';
}

/** Whether a file contains a text; it is read in chunks. */
function contains(file: string, text: string): boolean {
  const chunk = Buffer.alloc(CHUNK_BYTES + text.length);
  let descriptor: number | undefined;
  try {
    if (!statSync(file).isFile()) return false;
    descriptor = openSync(file, 'r');
    for (let at = 0; ; at += CHUNK_BYTES) {
      const read = readSync(descriptor, chunk, 0, chunk.length, at);
      if (chunk.subarray(0, read).includes(text)) return true;
      if (read < chunk.length) return false;
    }
  } catch {
    return false;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
