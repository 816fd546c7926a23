/** Merges the parts of the processes of `run` into one profile, and adds up what is not in it. */
import { readFileSync } from 'node:fs';
import { ProfileMerger } from '../pprof/profile-merger.js';
import { gzippedSync } from '../util/gzip.js';
import { zlib } from '../util/lazy-modules.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { hasProfile, isAlive, type Part, type PartRecord } from './parts.js';

/** The label with the name of a process, where there are several. */
export const PROCESS_LABEL = `process`;

/** CPU that is below what the end of a process may use after its record, in microseconds. */
const TEAR_DOWN_MICROS = 20_000;
/** Other CPU that is worth a line: microseconds, and share of all. */
const LEAST_OTHER_MICROS = 50_000;
const LEAST_OTHER_SHARE = 0.01;

/** Processes that are not in the profile. */
export interface LeftOut {
  readonly processes: readonly PartRecord[];
  readonly cpuMicros: number;
}

/** The parts, by whether they are in the profile. */
export interface Outcome {
  readonly included: readonly Part[];
  /** Package managers, if any other process is included. */
  readonly managers: LeftOut;
  /** Child processes, with `--no-children`. */
  readonly children: LeftOut;
  /** Still running. */
  readonly running: readonly PartRecord[];
  /** Ended without writing a profile. */
  readonly killed: readonly PartRecord[];
  /** Those that could not be profiled. */
  readonly failed: readonly PartRecord[];
  /** CPU of processes that have no part: they are not Node.js, or have another environment. */
  readonly otherMicros: number;
  /** Samples of the included processes for which there was no room. */
  readonly droppedSamples: number;
}

/** `allMicros`: CPU of the processes that have ended. */
export function outcomeOf(parts: readonly Part[], allMicros: number): Outcome {
  const written = parts.filter(hasProfile);
  const programs = written.filter(({ record }) => !record.isPackageManager);
  const included = programs.length === 0 ? written : programs;
  const missing = parts.filter((part) => !written.includes(part));
  const records = (those: readonly Part[]): PartRecord[] => those.map(({ record }) => record);
  const ended = missing.filter((part) => !isAlive(part));
  const children = records(ended).filter(({ excluded }) => excluded === 'child');
  const managers = records(written.filter((part) => !included.includes(part)));
  const other =
    allMicros - sumOfCpu(parts.map(({ record }) => record)) - parts.length * TEAR_DOWN_MICROS;
  const isWorthALine = other > Math.max(LEAST_OTHER_MICROS, LEAST_OTHER_SHARE * allMicros);
  return {
    included,
    managers: { processes: managers, cpuMicros: sumOfCpu(managers) },
    children: { processes: children, cpuMicros: sumOfCpu(children) },
    running: records(missing.filter(isAlive)),
    killed: records(ended).filter(({ excluded }) => excluded === undefined),
    failed: records(ended).filter(({ excluded }) => excluded === 'failed'),
    otherMicros: isWorthALine ? other : 0,
    droppedSamples: included.reduce((sum, { record }) => sum + (record.droppedSamples ?? 0), 0),
  };
}

function sumOfCpu(records: readonly PartRecord[]): number {
  return records.reduce((sum, { cpuMicros = 0 }) => sum + cpuMicros, 0);
}

/**
 * Returns the gzipped profile of the parts, which must have one. Where there are several, samples
 * have the labels `pid` and `process`.
 */
export function mergeParts(parts: readonly Part[], intervalMicros: number): Uint8Array {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return readFileSync(only.profile);
  const merger = new ProfileMerger(CPU_PROFILE, intervalMicros * 1_000);
  for (const { record, profile } of parts) {
    const plain = zlib().gunzipSync(readFileSync(profile));
    merger.add(plain, { pid: String(record.pid), [PROCESS_LABEL]: record.name });
  }
  return gzippedSync(merger.encode());
}
