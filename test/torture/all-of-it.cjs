/** Loaded by `npm run torture`: every case, each for longer. */
process.env.TORTURE = 'all';
