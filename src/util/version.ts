/** The version of this package in uploads; a test compares it with package.json. */
export const VERSION = '0.1.0';
