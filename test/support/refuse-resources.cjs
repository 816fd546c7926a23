/**
 * Preloaded: the addon cannot find async resources, as where it does not know Node.js's memory. Without
 * AsyncContextFrame an async hook then writes the label word.
 */
const loader = require('../../lib/addon/loader.js');

const { openNativeThread } = loader;
loader.openNativeThread = (...args) =>
  Object.assign(openNativeThread(...args), { learnResources: () => false });
