/** The application's build: the profiler stays a package of its own, as its README says. */
export default {
  serverExternalPackages: ['otelpyroscope'],
};
