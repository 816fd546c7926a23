/** For ES modules: what CommonJS code gets from read-profile.cjs. */
export * from './read-profile.cjs';
