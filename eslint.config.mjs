/** Lint rules: type-checked for the TypeScript sources, plain for scripts, tests and examples. */
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const nodeGlobals = Object.fromEntries(
  [
    ...['AbortController', 'AbortSignal', 'Buffer', 'Event', 'EventTarget', 'MessageChannel'],
    ...['TextDecoder', 'TextEncoder', 'URL', 'URLSearchParams', 'WebAssembly', 'clearImmediate'],
    ...['clearInterval', 'clearTimeout', 'console', 'fetch', 'gc', 'global', 'globalThis'],
    ...['performance', 'process', 'queueMicrotask', 'setImmediate', 'setInterval', 'setTimeout'],
    ...['structuredClone'],
  ].map((name) => [name, 'readonly']),
);
const mochaGlobals = Object.fromEntries(
  ['after', 'afterEach', 'before', 'beforeEach', 'context', 'describe', 'it'].map((name) => [
    name,
    'readonly',
  ]),
);
const browserGlobals = Object.fromEntries(
  [
    ...['AbortController', 'CSS', 'URLSearchParams', 'addEventListener', 'document', 'fetch'],
    ...['getComputedStyle', 'history', 'innerHeight', 'innerWidth', 'location', 'matchMedia'],
    ...['performance', 'requestAnimationFrame', 'setTimeout'],
  ].map((name) => [name, 'readonly']),
);
const commonJsGlobals = Object.fromEntries(
  ['__dirname', '__filename', 'exports', 'module', 'require'].map((name) => [name, 'readonly']),
);

const houseRules = {
  eqeqeq: ['error', 'always'],
  'no-restricted-syntax': [
    'error',
    { selector: 'ExportDefaultDeclaration', message: 'Exports have names.' },
    {
      selector: ':matches(PropertyDefinition, MethodDefinition)[accessibility="private"]',
      message: 'Private members are #private.',
    },
  ],
  'no-var': 'error',
  'object-shorthand': 'error',
  'prefer-const': 'error',
};
const unusedVariables = ['error', { argsIgnorePattern: '^_', caughtErrors: 'none' }];

export default defineConfig(
  globalIgnores([
    '**/node_modules/',
    '.cache/',
    '.nodes/',
    'build/',
    'build-cmake/',
    'coverage/',
    'lib/',
    'prebuilds/',
    'test/compat/frameworks/*/.*/',
  ]),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['src/**/*.{ts,mts,cts}'],
    extends: [js.configs.recommended, tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      ...houseRules,
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-unused-vars': unusedVariables,
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    extends: [js.configs.recommended],
    languageOptions: { ecmaVersion: 2024, globals: nodeGlobals },
    rules: { ...houseRules, 'no-unused-vars': unusedVariables },
  },
  {
    files: ['**/*.cjs', 'examples/**/*.js', 'test/**/*.js'],
    languageOptions: { sourceType: 'commonjs', globals: commonJsGlobals },
  },
  {
    files: ['test/**/*.{js,mjs,cjs}'],
    languageOptions: { globals: mochaGlobals },
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'describe', property: 'only', message: 'Runs nothing else.' },
        { object: 'it', property: 'only', message: 'Runs nothing else.' },
      ],
    },
  },
  {
    files: [
      'viewer/**/*.mjs',
      'test/integration/viewer*.test.mjs',
      'test/support/viewer-page.mjs',
      'bench/viewer.mjs',
    ],
    languageOptions: { globals: browserGlobals },
  },
  {
    files: ['test/compat/frameworks/next/**/*.js'],
    languageOptions: { sourceType: 'module', globals: { Response: 'readonly' } },
  },
  // Configurations are what a default export is for.
  {
    files: ['eslint.config.mjs', 'test/compat/frameworks/next/next.config.mjs'],
    rules: { 'no-restricted-syntax': 'off' },
  },
);
