/** Formats numbers and names, and creates elements with plain text. */

const SCALES = {
  nanoseconds: [
    [1e9, 's'],
    [1e6, 'ms'],
    [1e3, 'µs'],
    [1, 'ns'],
  ],
  bytes: [
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
    [2 ** 10, 'KiB'],
    [1, 'B'],
  ],
};

export function amount(value, unit) {
  // A file may have any text as its unit.
  const scale = Object.hasOwn(SCALES, unit) ? SCALES[unit] : undefined;
  if (scale === undefined || value === 0) return value.toLocaleString('en');
  const [size, name] = scale.find(([least]) => Math.abs(value) >= least) ?? scale.at(-1);
  const scaled = value / size;
  return `${scaled.toLocaleString('en', { maximumFractionDigits: scaled >= 100 ? 0 : 2 })} ${name}`;
}

export function percent(part, whole) {
  return whole === 0 ? '–' : `${((part / whole) * 100).toFixed(1)} %`;
}

/** Creates an element with children; strings become text nodes, never HTML. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
