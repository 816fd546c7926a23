/**
 * The folder in which the processes of `run` put their parts of the profile: `ID.json` says what
 * the process is, `ID.pb.gz` is its profile.
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { ClockInUse } from '../util/sample-clock.js';
import { isRunning, statOf } from '../util/processes.js';
import { writeWholeFileSync } from '../util/whole-file.js';

/** The record that a Node.js process writes about itself when it begins, and again when it ends. */
export interface PartRecord {
  readonly pid: number;
  readonly startTime: string;
  /** The name of its script. */
  readonly name: string;
  readonly isPackageManager: boolean;
  /** Whether no Node.js process that `run` has started is above it. */
  readonly isTop: boolean;
  /** Why it is not profiled; undefined if it is. */
  readonly excluded?: 'child' | 'failed';
  /** For `failed`. */
  readonly reason?: string;
  readonly state: 'running' | 'ending' | 'ended';
  /** CPU that it has used, once it has ended. */
  readonly cpuMicros?: number;
  /** The clock in use, if it is profiled. */
  readonly clock?: ClockInUse;
  /** Samples for which there was no room. */
  readonly droppedSamples?: number;
}

/** A record, and the file of its profile, which may not be there. */
export interface Part {
  readonly record: PartRecord;
  readonly profile: string;
}

const PACKAGE_MANAGER =
  /^(npm|npx|pnpm|pnpx|yarn|yarnpkg|corepack)(-cli)?(-\d[\w.-]*)?(\.[cm]?js)?$/;

/** Returns whether the script is one of a package manager, which only starts what is of interest. */
export function isPackageManager(script: string): boolean {
  return PACKAGE_MANAGER.test(path.basename(script));
}

/** The part of this process. */
export class OwnPart {
  readonly #folder: string;
  readonly #base: string;
  #record: PartRecord;

  constructor(folder: string, isTop: boolean) {
    const { pid } = process;
    const script = process.argv[1] ?? '';
    const startTime = statOf('self')?.startTime ?? '';
    this.#folder = folder;
    this.#base = path.join(folder, `${String(pid)}-${startTime}`);
    this.#record = {
      pid,
      startTime,
      // With --eval it is the first argument.
      name: path.isAbsolute(script) ? path.basename(script) : 'node',
      isPackageManager: isPackageManager(script),
      isTop,
      state: 'running',
    };
  }

  get isPackageManager(): boolean {
    return this.#record.isPackageManager;
  }

  get file(): string {
    return `${this.#base}.pb.gz`;
  }

  /** Returns whether this process is the first that calls it. */
  claimFirst(): boolean {
    try {
      closeSync(openSync(path.join(this.#folder, 'first'), 'wx'));
      return true;
    } catch {
      return false;
    }
  }

  /** Adds to the record and writes it. Throws where the folder cannot be written. */
  record(more: Partial<PartRecord>): void {
    this.#record = { ...this.#record, ...more };
    // Whole: `run` may read it at any time.
    writeWholeFileSync(`${this.#base}.json`, Buffer.from(JSON.stringify(this.#record)));
  }

  writeProfile(bytes: Uint8Array): void {
    writeWholeFileSync(this.file, bytes);
  }
}

/** Returns all parts, in the order in which the processes were started. */
export function readParts(folder: string): Part[] {
  const parts: Part[] = [];
  for (const name of readdirSync(folder)) {
    if (!name.endsWith('.json')) continue;
    const file = path.join(folder, name);
    try {
      const record = JSON.parse(readFileSync(file, 'utf8')) as PartRecord;
      parts.push({ record, profile: `${file.slice(0, -'.json'.length)}.pb.gz` });
    } catch {
      // The process was killed, or the disk is full.
    }
  }
  return parts.sort(
    (a, b) =>
      Number(a.record.startTime) - Number(b.record.startTime) || a.record.pid - b.record.pid,
  );
}

export function hasProfile({ profile }: Part): boolean {
  return existsSync(profile);
}

/** Whether the process has not ended yet. */
export function isAlive({ record }: Part): boolean {
  return record.state !== 'ended' && isRunning(record.pid, record.startTime);
}
