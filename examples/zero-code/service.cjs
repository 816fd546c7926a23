/** A service without code for traces or profiles: flags of Node.js add both, see README.md. */

'use strict';

const { createShop } = require('../demo/shop.cjs');

const server = createShop().listen(Number(process.env.PORT ?? 3000), '127.0.0.1', (error) => {
  if (error) throw error;
  const { port } = server.address();
  if (process.send) process.send({ port });
  else console.log(`http://127.0.0.1:${port}/recommendations?depth=50`);
});

// The process then ends by itself, which is when the last profile is uploaded.
process.once('SIGTERM', () => server.close());
process.once('SIGINT', () => server.close());
