/** The public interface of the package. */
export { CpuProfiler, type ProfilerMetrics } from './cpu-profiler.js';
export { ProfilerError, type ProfilerErrorCode } from './errors.js';
export { Scope, type CpuProfilerOptions, type LabelOptions } from './options.js';
export { TracerProvider } from './tracer-provider.js';
export { getLabels, withLabels } from './with-labels.js';
