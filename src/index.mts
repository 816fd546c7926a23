/** The same interface for `import`: one copy of the state, whichever way the package is loaded. */
export { getLabels, ProfilerError, Scope, TracerProvider, withLabels } from './index.js';
export type { CpuProfilerOptions, LabelOptions, ProfilerErrorCode } from './index.js';
