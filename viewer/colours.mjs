/** Colours of frames: by the owner of the code, or, in a difference, by the side that costs more. */

/** Hue and saturation of the application's code, its packages', Node's and V8's. */
const OWNERS = {
  own: [24, 85],
  packages: [48, 75],
  node: [205, 45],
  native: [220, 10],
};

export function ownerOf({ name, file }) {
  if (file === '' || (name.startsWith('(') && file === '')) return 'native';
  if (file.startsWith('node:')) return 'node';
  return /[\\/]node_modules[\\/]/.test(file) ? 'packages' : 'own';
}

export function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

export function frameColour(node) {
  const [hue, saturation] = OWNERS[ownerOf(node)];
  let hash = 0;
  for (let i = 0; i < node.name.length; i += 1) hash = (hash * 31 + node.name.charCodeAt(i)) | 0;
  const lightness = (isDark() ? 26 : 72) + (Math.abs(hash) % 10);
  return `hsl(${hue} ${saturation}% ${lightness}%)`;
}

/** @param {number} share −1: all cost is on side B, 0: it is equal, 1: all is on side A. */
export function differenceColour(share) {
  const strength = Math.min(Math.abs(share), 1);
  const hue = share > 0 ? 14 : 212;
  const lightness = isDark() ? 24 + 18 * strength : 90 - 28 * strength;
  return `hsl(${hue} ${Math.round(85 * strength)}% ${lightness}%)`;
}

export function highlight() {
  return isDark() ? 'hsl(290 60% 40%)' : 'hsl(290 80% 78%)';
}
