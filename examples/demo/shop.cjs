/** The Express application: five routes whose work differs in amount and in shape. */

'use strict';

const { createHmac, scrypt } = require('node:crypto');
const { readFile } = require('node:fs/promises');
const { join } = require('node:path');
const { Readable, Transform } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { setImmediate: nextTurn, setTimeout: sleep } = require('node:timers/promises');
const { promisify } = require('node:util');
const { createGzip } = require('node:zlib');
const { Eta } = require('eta');
const express = require('express');
const {
  products,
  searchProducts,
  suggestProducts,
  scoreProducts,
  rankProducts,
  csvLine,
} = require('./catalog.cjs');

const deriveKey = promisify(scrypt);
const views = new Eta({ views: join(__dirname, 'views'), cache: true });

/** Builds the application; the caller listens. */
function createShop() {
  const shop = express();
  shop.disable('x-powered-by');
  shop.use(express.json());
  shop.get('/products', listProducts);
  shop.get('/invoices/:id', showInvoice);
  shop.post('/login', logIn);
  shop.get('/recommendations', recommend);
  shop.get('/export', exportProducts);
  return shop;
}

/** JSON: search, sort, serialize. A misspelt word takes a slow way that no other request takes. */
function listProducts(request, response) {
  const text = String(request.query.q ?? '');
  const found = searchProducts(text);
  if (found.length === 0) {
    response.json({ total: 0, products: [], similar: suggestProducts(text, 10) });
    return;
  }
  response.json({ total: found.length, products: found.slice(0, 500) });
}

/** A template rendered on the server. */
function showInvoice(request, response) {
  const first = Number(request.params.id) % 1_000;
  const lines = products.slice(first, first + 500);
  response.type('html').send(views.render('./invoice', { id: first, lines }));
}

/** Crypto: the key is derived in libuv's thread pool, the session is signed here. */
async function logIn(request, response) {
  const { user, password } = request.body;
  const key = await deriveKey(password, `salt of ${user}`, 32, { N: 512 });
  const session = JSON.stringify({ user, rights: products.map((product) => product.sku) });
  const signature = createHmac('sha256', key).update(session).digest('base64url');
  response.json({ session: Buffer.from(session).toString('base64url').length, signature });
}

/** Several awaits, with work between them that grows with `depth`. */
async function recommend(request, response) {
  const depth = Math.min(Number(request.query.depth ?? 1), 100);
  const history = await loadHistory();
  const scores = new Map();
  for (let round = 0; round < depth; round += 1) {
    scoreProducts(history, round, scores);
    await nextTurn();
  }
  response.json(rankProducts(scores, 10));
}

async function loadHistory() {
  const text = await readFile(__filename, 'utf8');
  await sleep(2);
  return text.split(/\W+/);
}

/** A stream: rows become CSV, the CSV is compressed, the socket sets the pace. */
async function exportProducts(request, response) {
  const toCsv = new Transform({
    writableObjectMode: true,
    transform: (rows, encoding, done) => done(null, rows.map(csvLine).join('')),
  });
  response.type('text/csv').set('content-encoding', 'gzip');
  try {
    await pipeline(Readable.from(pages(100)), toCsv, createGzip({ level: 1 }), response);
  } catch (error) {
    if (!request.destroyed) throw error; // Otherwise the client has gone: nobody to tell.
  }
}

/** The catalogue in pages, for streaming. */
function* pages(size) {
  for (let start = 0; start < products.length; start += size) {
    yield products.slice(start, start + size);
  }
}

module.exports = { createShop };
