/** The same interface for `import`: one copy of the state, whichever way the package is loaded. */
export {
  CpuProfiler,
  getLabels,
  ProfilerError,
  Scope,
  TracerProvider,
  withLabels,
} from './index.js';
export type {
  CpuProfilerOptions,
  LabelOptions,
  ProfilerErrorCode,
  ProfilerMetrics,
} from './index.js';
