/** The settings that `otelpyroscope run` passes to the Node.js processes below it, in their environment. */
import path from 'node:path';
import type { SampleClock } from '../util/sample-clock.js';

/** The settings of `run`, and what the process above has added to them. */
export interface RunSettings {
  /** The folder where each process puts its part of the profile. */
  readonly folder: string;
  /** See `CpuProfilerOptions`. */
  readonly intervalMicros: number;
  /** See `CpuProfilerOptions`. */
  readonly clock: SampleClock;
  /** Whether the program serves the live view. */
  readonly serve: boolean;
  /** Whether processes that the program starts are profiled too. */
  readonly children: boolean;
  /** Whether this process is one of those, and must not be profiled. */
  readonly isExcluded: boolean;
  /** Whether no Node.js process that `run` has started is above this one. */
  readonly isTop: boolean;
  /** The process of `run`, and when it was started. */
  readonly runner: { readonly pid: number; readonly startTime: string };
}

const VARIABLE = 'OTELPYROSCOPE_RUN';

/**
 * Returns the environment of a program whose Node.js processes load `preload` and get the settings.
 * `variables` are added to it.
 */
export function environmentForRun(
  settings: RunSettings,
  preload: string,
  variables: Readonly<Record<string, string>>,
): NodeJS.ProcessEnv {
  return {
    ...process.env,
    ...variables,
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --require ${quoted(preload)}`.trim(),
    [VARIABLE]: JSON.stringify(settings),
  };
}

/** Returns the settings of this process; undefined if `run` has not started it. */
export function readRunSettings(): RunSettings | undefined {
  const text = process.env[VARIABLE];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as RunSettings;
  } catch {
    return undefined;
  }
}

/** Sets what processes that this one starts will read. */
export function passRunSettings(settings: RunSettings): void {
  process.env[VARIABLE] = JSON.stringify(settings);
}

/** Returns a path as it stands in NODE_OPTIONS, where a space ends an option. */
function quoted(file: string): string {
  return /[\s"\\]/.test(file) ? `"${file.replace(/["\\]/g, '\\$&')}"` : file;
}

/** Returns the folders in which a shell looks for commands. */
export function searchPath(): string[] {
  return (process.env.PATH ?? '').split(path.delimiter).map((folder) => folder || '.');
}
