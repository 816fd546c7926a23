/** Labels for a program that is traced already, until they are undone: for `otelpyroscope attach`. */
import { resolveLabelOptions, type LabelOptions } from '../options/options.js';
import { delegateOf, registeredApi, type ProviderProxy } from './api-globals.js';
import {
  isContextManagerPatched,
  patchedContextManager,
  restoreContextManager,
} from './context-manager-patch.js';
import { labellingStartSpan, tracersOf, type SdkTracer } from './labelling-tracers.js';
import { ReplacedMethods } from './replaced-methods.js';
import { labelOpenSpans } from './span-labels.js';

interface Provider {
  getTracer: (...args: unknown[]) => SdkTracer;
}

/**
 * Labels the spans of the global provider, and the open ones that are the first of their trace in
 * this process, from their next activation on. Unlike `register` it wraps nothing that outlives it:
 * it replaces methods of the SDK's tracers, its provider and its context manager, and the returned
 * function restores them. A program that labels its spans itself goes on doing so. Returns
 * undefined if no SDK is registered.
 */
export function labelRunningProgram(labelOptions: LabelOptions): (() => void) | undefined {
  const api = registeredApi();
  const proxy = (api?.trace ?? {}) as ProviderProxy;
  const provider = delegateOf(proxy) as Provider | undefined;
  if (api?.context === undefined || provider === undefined) return undefined;
  if (isContextManagerPatched()) return () => undefined;

  // The attribute would contain the CPU of a part of the span only.
  const options = resolveLabelOptions({ ...labelOptions, cpuTimeAttribute: false });
  const methods = new ReplacedMethods();
  const labelled = new WeakSet();
  let active = true;
  const optionsNow = (): typeof options | undefined => (active ? options : undefined);
  const label = (tracer: SdkTracer): void => {
    if (labelled.has(tracer)) return;
    labelled.add(tracer);
    methods.replace(tracer, 'startSpan', labellingStartSpan(tracer, optionsNow));
  };
  const { getTracer } = provider;
  methods.replace(provider, 'getTracer', function (this: Provider, ...args: unknown[]) {
    const tracer = getTracer.apply(this, args);
    if (active) label(tracer);
    return tracer;
  });
  tracersOf(provider).forEach(label);
  labelOpenSpans(options);
  patchedContextManager();
  return () => {
    active = false;
    methods.restore();
    labelOpenSpans(undefined);
    restoreContextManager();
  };
}
