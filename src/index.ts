/** The public interface of the package. */
export { CpuProfiler, type ProfilerMetrics } from './profiler/cpu-profiler.js';
export { ProfilerError, type ProfilerErrorCode } from './util/errors.js';
export type { PyroscopeConfig, PyroscopeProtocol } from './options/pyroscope.js';
export { Scope, type CpuProfilerOptions, type LabelOptions } from './options/options.js';
export type { ClockInUse, SampleClock } from './util/sample-clock.js';
export { pprofHandler, type PprofHandler, type PprofHandlerOptions } from './pull/pprof-handler.js';
export { servePprof, type ServePprofOptions } from './pull/pprof-server.js';
export { startPyroscope, type PyroscopeAgent, type PyroscopeMetrics } from './pyroscope/agent.js';
export { register } from './otel/register.js';
export { PyroscopeSpanProcessor } from './otel/span-processor.js';
export { TracerProvider } from './otel/typed-tracer-provider.js';
export { getLabels, withLabels } from './labels/with-labels.js';
