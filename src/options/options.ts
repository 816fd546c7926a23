/** Every option of the package: its type, default and check. */
import { suggestion } from './suggestions.js';
import type { SampleClock } from '../util/sample-clock.js';
import { homedir } from 'node:os';
import path from 'node:path';
import { isDeprecatedOption, warnDeprecated, type DeprecatedLabelOptions } from './deprecated.js';

/** The span of a local trace that a label describes. */
export enum Scope {
  /** The label is not set. */
  None = 0,
  /** The first span of the trace in this process, for all its descendants. */
  RootSpan = 1,
  /** Each span has its own. */
  AllSpans = 2,
}

/** How spans become labels. */
export interface LabelOptions extends DeprecatedLabelOptions {
  /** The span whose id is `span_id`. Default `Scope.RootSpan`. */
  spanIdScope?: Scope | undefined;
  /** The span whose name is `span_name`. Default `Scope.RootSpan`. */
  spanNameScope?: Scope | undefined;
  /** Whether sampled spans set `trace_id`; false for Pyroscope before 2.1. Default true. */
  traceIdLabel?: boolean | undefined;
  /** Attributes of the local root that become labels of that name; at most 8. Default none. */
  attributeLabels?: readonly string[] | undefined;
  /** Whether spans with samples get `pyroscope.cpu_time_ms` at their end. Default true. */
  cpuTimeAttribute?: boolean | undefined;
}

/** `LabelOptions` with every default filled in. */
export interface ResolvedLabelOptions {
  readonly spanIdScope: Scope;
  readonly spanNameScope: Scope;
  readonly traceIdLabel: boolean;
  readonly attributeLabels: readonly string[];
  readonly cpuTimeAttribute: boolean;
}

/** How the CPU is sampled. */
export interface CpuProfilerOptions {
  /** CPU time between two samples, in microseconds: 1_000 … 1_000_000. Default 10_000 (100 Hz). */
  intervalMicros?: number | undefined;
  /**
   * `tick`: samples are taken at the scheduler's ticks, every 1 to 10 ms. `perf`: when the CPU time
   * is used, by the task clock of the kernel's perf events. `precise`: the same without perf events;
   * may interrupt a blocking system call of an addon. Where the system refuses a clock, `tick` is
   * used. Default `auto`: `perf` where nothing filters system calls, `tick` elsewhere.
   */
  clock?: SampleClock | undefined;
  /** Frames recorded of one stack, from the leaf: 1 … 1_024. Default 128. */
  maxFrames?: number | undefined;
  /** Whether frames have the line that runs, not only that of their function. Default true. */
  lineNumbers?: boolean | undefined;
  /** Whether frames are mapped to original sources. Default: as Node's --enable-source-maps. */
  sourceMaps?: boolean | undefined;
  /** Leaves out the files of functions: of all, or of those below a node_modules. Default neither. */
  stripFilenames?: StripFilenames | undefined;
  /**
   * Whether files below a node_modules have their path from there, and others below the working
   * directory theirs from there. Default false.
   */
  shortenPaths?: boolean | undefined;
}

/** Functions whose files a profile does not contain. */
export type StripFilenames = 'all' | 'dependencies';

/** `CpuProfilerOptions` with every default filled in. */
export interface ResolvedCpuProfilerOptions {
  readonly intervalMicros: number;
  readonly clock: SampleClock;
  readonly maxFrames: number;
  readonly lineNumbers: boolean;
  readonly sourceMaps: boolean;
  readonly stripFilenames: StripFilenames | undefined;
  readonly shortenPaths: boolean;
}

export const DEFAULT_INTERVAL_MICROS = 10_000;
export const MIN_INTERVAL_MICROS = 1_000;
export const MAX_INTERVAL_MICROS = 1_000_000;
export const DEFAULT_CLOCK = 'auto';
export const CLOCKS: readonly SampleClock[] = ['auto', 'perf', 'precise', 'tick'];
export const DEFAULT_MAX_FRAMES = 128;
export const MAX_MAX_FRAMES = 1_024;

const LABEL_OPTION_NAMES = [
  'spanIdScope',
  'spanNameScope',
  'traceIdLabel',
  'attributeLabels',
  'cpuTimeAttribute',
];
export const MAX_ATTRIBUTE_LABELS = 8;
const ATTRIBUTE_NAME = /^[A-Za-z_][A-Za-z0-9_.]*$/;
/** Labels that have another source. */
const OTHER_LABELS = ['__name__', 'profile_id', 'span_id', 'span_name', 'thread_name', 'trace_id'];
export const CPU_OPTION_NAMES = [
  ...['intervalMicros', 'clock', 'maxFrames', 'lineNumbers', 'sourceMaps'],
  ...['stripFilenames', 'shortenPaths'],
];

/**
 * Checks label options and fills in the defaults; `undefined` means the default.
 * Throws a TypeError that names an unknown option or one with a wrong value.
 */
export function resolveLabelOptions(options: LabelOptions = {}): ResolvedLabelOptions {
  checkNames(options, LABEL_OPTION_NAMES, isDeprecatedOption);
  const resolved = {
    spanIdScope: scope('spanIdScope', options.spanIdScope),
    spanNameScope: scope('spanNameScope', options.spanNameScope),
    traceIdLabel: flag('traceIdLabel', options.traceIdLabel, true),
    attributeLabels: attributeLabels(options.attributeLabels),
    cpuTimeAttribute: flag('cpuTimeAttribute', options.cpuTimeAttribute, true),
  };
  warnDeprecated(Object.keys(options).filter(isDeprecatedOption));
  return resolved;
}

/**
 * Checks sampler options and fills in the defaults; `undefined` means the default.
 * Throws a TypeError that names an unknown option or one of a wrong type, and a RangeError that
 * names a number out of range.
 */
export function resolveCpuProfilerOptions(
  options: CpuProfilerOptions = {},
): ResolvedCpuProfilerOptions {
  checkNames(options, CPU_OPTION_NAMES, () => false);
  return {
    intervalMicros: integer(
      'intervalMicros',
      options.intervalMicros,
      DEFAULT_INTERVAL_MICROS,
      MIN_INTERVAL_MICROS,
      MAX_INTERVAL_MICROS,
    ),
    clock: sampleClock(options.clock),
    maxFrames: integer('maxFrames', options.maxFrames, DEFAULT_MAX_FRAMES, 1, MAX_MAX_FRAMES),
    lineNumbers: flag('lineNumbers', options.lineNumbers, true),
    sourceMaps: flag('sourceMaps', options.sourceMaps, nodeMapsSources()),
    stripFilenames: checkStripFilenames(options.stripFilenames),
    shortenPaths: flag('shortenPaths', options.shortenPaths, false),
  };
}

/** Returns the checked option `stripFilenames`. Throws a TypeError. */
export function checkStripFilenames(value: unknown): StripFilenames | undefined {
  if (value === undefined || value === 'all' || value === 'dependencies') return value;
  throw new TypeError(`stripFilenames must be "all" or "dependencies", got ${describe(value)}`);
}

/** Whether there is a display to open a browser on (X11 or Wayland). */
export function hasDisplay(): boolean {
  return (readEnvironment('DISPLAY') ?? readEnvironment('WAYLAND_DISPLAY')) !== undefined;
}

/** Returns the user's folder for caches, as the XDG Base Directory Specification has it; undefined if there is none. */
export function cacheHome(): string | undefined {
  const given = readEnvironment('XDG_CACHE_HOME');
  // The specification ignores relative paths.
  if (given !== undefined && path.isAbsolute(given)) return given;
  try {
    return path.join(homedir(), '.cache');
  } catch {
    // There is no HOME, and the system does not know the user.
    return undefined;
  }
}

/** Throws a TypeError that names an option which is neither in `accepted` nor `alsoAccepted`. */
export function checkNames(
  options: object,
  accepted: string[],
  alsoAccepted: (name: string) => boolean,
): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`options must be an object, got ${describe(options)}`);
  }
  if ('getTracer' in options) {
    throw new TypeError(
      'options must not be a tracer provider: register() finds the global one, new TracerProvider(provider) takes another',
    );
  }
  for (const name of Object.keys(options)) {
    if (accepted.includes(name) || alsoAccepted(name)) continue;
    const meant = suggestion(name, accepted);
    throw new TypeError(`unknown option "${name}"${meant}; accepted are ${accepted.join(', ')}`);
  }
}

/** Returns a checked `Scope`; throws a TypeError that names the option. */
export function scope(name: string, value: unknown): Scope {
  if (value === undefined) return Scope.RootSpan;
  if (value === Scope.None || value === Scope.RootSpan || value === Scope.AllSpans) return value;
  throw new TypeError(
    `${name} must be Scope.None (0), Scope.RootSpan (1) or Scope.AllSpans (2), got ${describe(value)}`,
  );
}

/** Returns a checked list of attributes without repeats; throws a TypeError or RangeError. */
export function attributeLabels(value: unknown): readonly string[] {
  if (value === undefined) return [];
  const accepted = `attributeLabels must be an array of attribute names, ${ATTRIBUTE_NAME.source}, that are not ${OTHER_LABELS.join(', ')}`;
  if (!Array.isArray(value)) throw new TypeError(`${accepted}; got ${describe(value)}`);
  for (const name of value as unknown[]) {
    if (typeof name !== 'string' || !ATTRIBUTE_NAME.test(name) || OTHER_LABELS.includes(name)) {
      throw new TypeError(`${accepted}; got ${describe(name)}`);
    }
  }
  const names = [...new Set(value as string[])];
  if (names.length > MAX_ATTRIBUTE_LABELS) {
    throw new RangeError(
      `attributeLabels must be ${String(MAX_ATTRIBUTE_LABELS)} names at most, got ${String(names.length)}`,
    );
  }
  return Object.freeze(names);
}

/** Returns a checked clock; throws a TypeError that names the option. */
export function sampleClock(value: unknown): SampleClock {
  if (value === undefined) return DEFAULT_CLOCK;
  if (CLOCKS.includes(value as SampleClock)) return value as SampleClock;
  throw new TypeError(`clock must be one of ${CLOCKS.join(', ')}, got ${describe(value)}`);
}

/** Returns a checked boolean; throws a TypeError that names the option. */
export function flag(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value === 'boolean') return value;
  throw new TypeError(`${name} must be true or false, got ${describe(value)}`);
}

/** Returns a checked integer in a range; throws a TypeError or RangeError that names the option. */
export function integer(
  name: string,
  value: unknown,
  fallback: number,
  min: number,
  max: number,
): number {
  if (value === undefined) return fallback;
  const accepted = `${name} must be an integer from ${String(min)} to ${String(max)}`;
  if (typeof value !== 'number') throw new TypeError(`${accepted}, got ${describe(value)}`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${accepted}, got ${String(value)}`);
  }
  return value;
}

/** Returns a trimmed variable of the environment, or undefined if it is missing or blank. */
export function readEnvironment(name: string): string | undefined {
  const text = process.env[name]?.trim();
  return text === '' ? undefined : text;
}

function nodeMapsSources(): boolean {
  // Older minors of Node 20 have no such property.
  const enabled = (process as { sourceMapsEnabled?: boolean }).sourceMapsEnabled;
  if (enabled !== undefined) return enabled;
  const flags = [...process.execArgv, ...(readEnvironment('NODE_OPTIONS') ?? '').split(/\s+/)];
  return flags.includes('--enable-source-maps');
}

/** Returns a value for an error message, at most 40 characters of a string. Not for secrets. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string')
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}
