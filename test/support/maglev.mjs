/** Tells what this Node.js's V8 tells of code that its compiler Maglev has made. */

const [major, minor] = process.versions.node.split('.').map(Number);

/**
 * Whether V8 keeps source positions in Maglev's code (nodejs/node #63816). Where it does not, a
 * sample in such code has the line on which its function begins. Node.js before 24 has no Maglev
 * unless asked for it.
 */
export const MAGLEV_HAS_POSITIONS = major > 24 || (major === 24 && minor >= 20);
/** Whether Maglev compiles what nobody has asked it for. */
export const USES_MAGLEV = major >= 24;
