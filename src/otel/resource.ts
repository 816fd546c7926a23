/** The name of the service as the application's OpenTelemetry resource tells it. */
import { threadSingleton } from '../util/thread-singleton.js';

interface HasResource {
  resource?: { attributes?: Record<string, unknown> };
  /** SDK 2 and later keep a provider's to themselves. */
  _resource?: { attributes?: Record<string, unknown> };
}

const noted = threadSingleton('service.v1', () => ({
  holder: undefined as HasResource | undefined,
}));

/** What the resource says; each undefined where it does not. */
export interface Service {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
}

/** Remembers a tracer provider, or a span, for the resource that it has. Never throws. */
export function noteResource(holder: object): void {
  try {
    if (attributesOf(holder) !== undefined) noted.holder = holder;
  } catch {
    // An object that does not want to be asked.
  }
}

/** Whether there is a resource yet. */
export function hasResource(): boolean {
  return noted.holder !== undefined;
}

/** Asked each time: attributes of a resource may be detected asynchronously. Never throws. */
export function serviceOfResource(): Service {
  try {
    const attributes = noted.holder === undefined ? undefined : attributesOf(noted.holder);
    return {
      name: text(attributes?.['service.name']),
      namespace: text(attributes?.['service.namespace']),
    };
  } catch {
    return { name: undefined, namespace: undefined };
  }
}

function attributesOf(holder: HasResource): Record<string, unknown> | undefined {
  return (holder.resource ?? holder._resource)?.attributes;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
