/** The native layers under each sanitizer. A part of `npm run test:builds`: compiling takes its time. */
import { testNativeLayers } from '../native/native-layers.mjs';

testNativeLayers('thread sanitizer', 'thread', ['-O1', '-fsanitize=thread']);
testNativeLayers('address sanitizer', 'address', [
  '-O1',
  '-fsanitize=address,undefined',
  // Handlers of other profilers have frame pointers, and so must those of the tests.
  '-fno-omit-frame-pointer',
  '-fno-sanitize-recover=all',
]);
