/** Loaded by `npm run test:robustness`: every case, each for longer. */
process.env.TORTURE = 'all';
