/** A bookshop with five routes: some compute, some wait. instrumentation.cjs has its tracing and profiling. */

'use strict';

const { createHmac, pbkdf2Sync } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { trace } = require('@opentelemetry/api');
const express = require('express');

const PORT = Number(process.env.PORT ?? 8080);
const WORDS = 'atlas bread cloud dream earth flame grain house ivory jungle kite lemon'.split(' ');

const tracer = trace.getTracer('bookshop');
const books = Array.from({ length: 4_000 }, (_, id) => ({
  id,
  title: [WORDS[id % 12], WORDS[(id * 5 + 1) % 12], WORDS[(id * 7 + 2) % 12], id].join(' '),
  cents: 500 + ((id * 7_919) % 4_500),
}));
const orders = Array.from({ length: 30_000 }, (_, index) => ({
  book: (index * 31) % books.length,
  country: WORDS[(index * 11) % 12],
  count: 1 + (index % 4),
}));

const shop = express();
shop.use(express.json());

/** Light: it waits for the database. */
shop.get('/books/:id', async (request, response) => {
  await inSpan('read book', () => sleep(20));
  const book = books[Number(request.params.id)];
  response.status(book ? 200 : 404).json(book ?? {});
});

/** About a millisecond of CPU. */
shop.get('/search', (request, response) => {
  const text = String(request.query.q ?? '');
  const found = inSpan('search books', () =>
    books
      .filter(({ title }) => title.includes(text))
      .sort((a, b) => a.title.localeCompare(b.title, 'en')),
  );
  response.json(found.slice(0, 100));
});

/** Two steps that wait, and one that computes. */
shop.post('/checkout', async (request, response) => {
  const { user, book } = request.body;
  await inSpan('reserve book', () => sleep(15));
  await inSpan('charge card', () => sleep(60));
  const receipt = inSpan('sign receipt', () => {
    const key = pbkdf2Sync(String(user), 'salt', 20_000, 32, 'sha256');
    return createHmac('sha256', key).update(String(book)).digest('hex');
  });
  response.json({ receipt });
});

/** Expensive: its second step compares each of a hundred titles with all of them. */
shop.get('/recommendations/:id', async (request, response) => {
  const id = Number(request.params.id);
  const candidates = await inSpan('load candidates', async () => {
    await sleep(10);
    return books.slice(id, id + 100);
  });
  const ranked = inSpan('compare titles', () => rankBySimilarity(candidates));
  response.json(ranked.slice(0, 10));
});

/** Seldom asked for, and long. */
shop.get('/report', (request, response) => {
  const countries = inSpan('sum up orders', sumUpOrders);
  response.type('text').send(inSpan('print report', () => printReport(countries)));
});

/** Books with the sum of their similarity to all others, the most similar first. */
function rankBySimilarity(candidates) {
  return candidates
    .map((book) => {
      const scores = candidates.map((other) => similarity(book.title, other.title));
      return { book, score: scores.reduce((sum, score) => sum + score, 0) };
    })
    .sort((a, b) => b.score - a.score);
}

/** The part of the pairs of letters of `a` that `b` has too. */
function similarity(a, b) {
  const pairs = new Set(pairsOf(b));
  const ownPairs = pairsOf(a);
  return ownPairs.filter((pair) => pairs.has(pair)).length / ownPairs.length;
}

function pairsOf(text) {
  return Array.from({ length: text.length - 1 }, (_, index) => text.slice(index, index + 2));
}

function sumUpOrders() {
  const countries = new Map();
  for (const { book, country, count } of orders) {
    const titles = countries.get(country) ?? new Map();
    const { title, cents } = books[book];
    titles.set(title, (titles.get(title) ?? 0) + cents * count);
    countries.set(country, titles);
  }
  return countries;
}

function printReport(countries) {
  return [...countries]
    .flatMap(([country, titles]) =>
      [...titles].map(([title, cents]) => `${country}\t${title}\t${(cents / 100).toFixed(2)}\n`),
    )
    .sort()
    .join('');
}

/** Runs `work` in a span, which ends with it, or with the promise that it returns. */
function inSpan(name, work) {
  return tracer.startActiveSpan(name, (span) => {
    const result = work();
    if (result instanceof Promise) return result.finally(() => span.end());
    span.end();
    return result;
  });
}

const server = shop.listen(PORT, (error) => {
  if (error) throw error;
  console.log(`The bookshop listens on port ${server.address().port}.`);
});
process.once('SIGTERM', () => server.close());
