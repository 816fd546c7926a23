/**
 * The kinds of profile that the package takes, one row for each, which writers, uploads, handlers
 * and readers get. It is in util/ because readers and options need the rows as well.
 */

/** Type and unit of a sample's value, in pprof's spelling. */
export interface ValueType {
  readonly type: string;
  readonly unit: string;
}

export interface ProfileType {
  /** The first value of each sample: the number of samples. */
  readonly count: ValueType;
  /** The second value, which readers show; also the type of the period. */
  readonly main: ValueType;
  /**
   * The label `__name__` of an upload by `connect`. For `ingest` and `otlp`, Pyroscope uses the
   * types of the values and of the period.
   */
  readonly pyroscopeName: string;
  /** Path at which HTTP servers serve it to those who pull profiles. */
  readonly pullPath: string;
  /** Name of the file in which a browser saves it; `run` puts the program's name before it. */
  readonly fileName: string;
}

/** CPU time of threads; see https://github.com/google/pprof/blob/main/proto/profile.proto */
export const CPU_PROFILE: ProfileType = {
  count: { type: 'samples', unit: 'count' },
  main: { type: 'cpu', unit: 'nanoseconds' },
  pyroscopeName: 'process_cpu',
  pullPath: '/debug/pprof/profile',
  fileName: 'cpu.pb.gz',
};

/** Kinds that readers know: of a file's value types they show the first one of these. */
export const PROFILE_TYPES: readonly ProfileType[] = [CPU_PROFILE];
