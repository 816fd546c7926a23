/** The native layers under each sanitizer. A part of `npm run test:builds`: compiling takes its time. */
import { testNativeLayers } from '../native/native-layers.mjs';

testNativeLayers('thread sanitizer', 'thread', ['-O1', '-fsanitize=thread']);
testNativeLayers('address sanitizer', 'address', [
  '-O1',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=all',
]);
