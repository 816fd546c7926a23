/** The same interface for `import`: one copy of the state, whichever way the package is loaded. */
export {
  CpuProfiler,
  getLabels,
  pprofHandler,
  ProfilerError,
  PyroscopeSpanProcessor,
  register,
  Scope,
  servePprof,
  startPyroscope,
  TracerProvider,
  withLabels,
} from './index.js';
export type {
  CpuProfilerOptions,
  LabelOptions,
  PprofHandler,
  PprofHandlerOptions,
  ProfilerErrorCode,
  ProfilerMetrics,
  ClockInUse,
  SampleClock,
  PyroscopeAgent,
  PyroscopeConfig,
  PyroscopeMetrics,
  PyroscopeProtocol,
  ServePprofOptions,
} from './index.js';
