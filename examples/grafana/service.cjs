/** The shop of examples/zero-code, for a container: it listens on all its addresses. */

'use strict';

const { createShop } = require('../demo/shop.cjs');

const server = createShop().listen(3000, '0.0.0.0');
process.once('SIGTERM', () => server.close());
