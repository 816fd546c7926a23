/** The name of the service in the application's OpenTelemetry resource. */
import { threadSingleton } from '../util/thread-singleton.js';

interface HasResource {
  resource?: { attributes?: Record<string, unknown> };
  /** A provider's, in SDK 2 and later, where it is private. */
  _resource?: { attributes?: Record<string, unknown> };
}

const noted = threadSingleton('service.v1', () => ({
  holder: undefined as HasResource | undefined,
}));

/** Attributes of the resource; undefined where it has none. */
export interface Service {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
}

/** Remembers a tracer provider or a span, if it has a resource. Never throws. */
export function noteResource(holder: object): void {
  try {
    if (attributesOf(holder) !== undefined) noted.holder = holder;
  } catch {
    // An object whose getter throws.
  }
}

/** Whether a resource has been found. */
export function hasResource(): boolean {
  return noted.holder !== undefined;
}

/** Reads the resource at each call: attributes may be detected asynchronously. Never throws. */
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
