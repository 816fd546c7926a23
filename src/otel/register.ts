/** `register`: labels for spans of the global tracer provider, whether registered yet or not. */
import { isMainThread } from 'node:worker_threads';
import type { TracerProvider as ApiTracerProvider } from '@opentelemetry/api';
import {
  delegateOf,
  hasContextManager,
  onProviderProxy,
  type ProviderProxy,
} from './api-globals.js';
import { patchedContextManager } from './context-manager-patch.js';
import { startTimer, stopTimer, type Timer } from '../util/clock.js';
import { warn, warnOnce } from '../util/diagnostics.js';
import {
  resolveLabelOptions,
  type LabelOptions,
  type ResolvedLabelOptions,
} from '../options/options.js';
import { labellingStartSpan, tracersOf } from './labelling-tracers.js';
import { ReplacedMethods } from './replaced-methods.js';
import { stopLabelling, TracerProvider } from './tracer-provider.js';

/** How long an SDK may take to register a tracer provider without a warning, in milliseconds. */
const PROVIDER_MS = 10_000;
const NO_PROVIDER =
  'an OpenTelemetry SDK has started without a tracer provider, so samples have no labels of spans. ' +
  'NodeSDK registers none where it has no exporter and no span processor (OTEL_TRACES_EXPORTER=none): ' +
  'set OTEL_TRACES_EXPORTER=console, or register a provider of your own';

/**
 * Wraps the global tracer provider, and each that becomes the global one, as `new TracerProvider`
 * does. Spans of tracers that the SDK has returned before are labelled too. Returns a function that
 * undoes it.
 *
 * Throws a TypeError where an option is unknown or wrong; see `LabelOptions` for the defaults. If
 * it is called twice, the options of the first call apply.
 */
export function register(options?: LabelOptions): () => void {
  const registration = new Registration(options);
  return () => {
    registration.undo();
  };
}

class Registration {
  readonly resolved: ResolvedLabelOptions;
  readonly #options: LabelOptions | undefined;
  readonly #wrappers = new Map<object, TracerProvider>();
  readonly #hooks = new Set<ProxyHook>();
  readonly #endListening: () => void;
  readonly #checkProvider = (): void => {
    process.off('beforeExit', this.#checkProvider);
    stopTimer(this.#providerTimer);
    const hasProvider = [...this.#hooks].some((hook) => hook.hasProvider);
    if (!hasProvider && hasContextManager()) warnOnce('no-provider', NO_PROVIDER);
  };
  readonly #providerTimer: Timer | undefined;

  constructor(options: LabelOptions | undefined) {
    this.resolved = resolveLabelOptions(options);
    this.#options = options;
    this.#endListening = onProviderProxy((proxy) => {
      const hook = ProxyHook.of(proxy);
      if (hook === undefined) return;
      this.#hooks.add(hook);
      hook.add(this);
    });
    patchedContextManager();
    // A worker without spans of its own is usual.
    if (!isMainThread) return;
    this.#providerTimer = startTimer(this.#checkProvider, PROVIDER_MS).unref();
    process.on('beforeExit', this.#checkProvider);
  }

  undo(): void {
    stopTimer(this.#providerTimer);
    process.off('beforeExit', this.#checkProvider);
    this.#endListening();
    for (const hook of this.#hooks) hook.remove(this);
    for (const wrapper of this.#wrappers.values()) stopLabelling(wrapper);
    this.#hooks.clear();
    this.#wrappers.clear();
  }

  wrap(delegate: object): object {
    if (delegate instanceof TracerProvider) return delegate;
    let wrapper = this.#wrappers.get(delegate);
    try {
      wrapper ??= new TracerProvider(delegate as ApiTracerProvider, this.#options);
      this.#wrappers.set(delegate, wrapper);
      return wrapper;
    } catch (error) {
      warn('the spans of the global tracer provider have no labels', error);
      return delegate;
    }
  }
}

const hooks = new WeakMap<ProviderProxy, ProxyHook>();

/** Replaces `setDelegate` of the api's proxy, and wraps its delegate for the first registration. */
class ProxyHook {
  readonly #proxy: ProviderProxy;
  readonly #setDelegate: (this: ProviderProxy, delegate: object) => void;
  readonly #registrations: Registration[] = [];
  #delegate: object | undefined;
  /** Replaced until `remove`. */
  readonly #methods = new ReplacedMethods();

  /** Returns the hook of this proxy, or undefined, with a warning, if it is not the api's proxy. */
  static of(proxy: ProviderProxy): ProxyHook | undefined {
    const { setDelegate } = proxy;
    let hook = hooks.get(proxy);
    if (hook === undefined && typeof setDelegate === 'function') {
      hook = new ProxyHook(proxy, setDelegate);
      hooks.set(proxy, hook);
    }
    if (hook === undefined) {
      warn(
        'the global tracer provider is not that of @opentelemetry/api: its spans have no labels',
      );
    }
    return hook;
  }

  constructor(proxy: ProviderProxy, setDelegate: (this: ProviderProxy, delegate: object) => void) {
    this.#proxy = proxy;
    this.#setDelegate = setDelegate;
  }

  /** Whether a provider has been registered, by whomever. */
  get hasProvider(): boolean {
    return this.#delegate !== undefined;
  }

  add(registration: Registration): void {
    if (this.#registrations.push(registration) > 1) return;
    const proxy = this.#proxy;
    this.#replace(proxy, 'setDelegate', (delegate: object): void => {
      this.#delegate = delegate;
      this.#apply();
    });
    this.#delegate = delegateOf(proxy);
    this.#apply();
    if (this.#delegate !== undefined) this.#adoptTracers(this.#delegate);
  }

  remove(registration: Registration): void {
    const index = this.#registrations.indexOf(registration);
    if (index < 0) return;
    this.#registrations.splice(index, 1);
    this.#apply();
    if (this.#registrations.length > 0) return;
    this.#methods.restore();
    hooks.delete(this.#proxy);
  }

  #apply(): void {
    if (this.#delegate === undefined) return;
    const delegate = this.#registrations[0]?.wrap(this.#delegate) ?? this.#delegate;
    this.#setDelegate.call(this.#proxy, delegate);
  }

  /** Labels spans of tracers that instrumentations have got from the SDK, not from the wrapper. */
  #adoptTracers(delegate: object): void {
    const registrations = this.#registrations;
    for (const tracer of tracersOf(delegate)) {
      const labelling = labellingStartSpan(tracer, () => registrations[0]?.resolved);
      this.#replace(tracer, 'startSpan', labelling);
    }
  }

  #replace(object: object, name: string, value: unknown): void {
    if (this.#methods.replace(object, name, value)) return;
    warn(`the ${name} of a frozen object of the SDK cannot be replaced: its spans have no labels`);
  }
}
