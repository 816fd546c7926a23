/**
 * The kinds of profile that the package takes: one row for each, which writers, uploads, handlers and
 * readers are given. Here, at the bottom, because readers and options need the rows as well.
 */

/** What a number of a sample counts, as pprof spells it. */
export interface ValueType {
  readonly type: string;
  readonly unit: string;
}

export interface ProfileType {
  /** Values of each sample, in this order: its count, and `main`. */
  readonly count: ValueType;
  /** What readers show, and the period is of. */
  readonly main: ValueType;
  /**
   * The label `__name__` of an upload by `connect`. For `ingest` and `otlp`, Pyroscope takes the
   * types of the values and of the period.
   */
  readonly pyroscopeName: string;
  /** Where an HTTP server has it for whoever pulls profiles. */
  readonly pullPath: string;
  /** The name of the file that a browser saves it as. */
  readonly fileName: string;
}

/** CPU time of threads. https://github.com/google/pprof/blob/main/proto/profile.proto */
export const CPU_PROFILE: ProfileType = {
  count: { type: 'samples', unit: 'count' },
  main: { type: 'cpu', unit: 'nanoseconds' },
  pyroscopeName: 'process_cpu',
  pullPath: '/debug/pprof/profile',
  fileName: 'cpu.pb.gz',
};

/** Of a file with several types of values, readers show the first that is one of these. */
export const PROFILE_TYPES: readonly ProfileType[] = [CPU_PROFILE];
