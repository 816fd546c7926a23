/** The public interface of the package. */
export { CpuProfiler, type ProfilerMetrics } from './cpu-profiler.js';
export { ProfilerError, type ProfilerErrorCode } from './errors.js';
export type { PyroscopeConfig, PyroscopeProtocol } from './options-pyroscope.js';
export { Scope, type CpuProfilerOptions, type LabelOptions } from './options.js';
export {
  pprofHandler,
  servePprof,
  type PprofHandler,
  type PprofHandlerOptions,
  type ServePprofOptions,
} from './pull.js';
export { startPyroscope, type PyroscopeAgent, type PyroscopeMetrics } from './pyroscope/agent.js';
export { register } from './register.js';
export { PyroscopeSpanProcessor } from './span-processor.js';
export { TracerProvider } from './tracer-provider.js';
export { getLabels, withLabels } from './with-labels.js';
