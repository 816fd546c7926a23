/** The shop's products, made up once, and the work that its routes do with them. */

'use strict';

const WORDS = 'amber birch cedar delta ember fjord grove heron islet jade kelp larch mossy north';
const words = WORDS.split(' ');

/** The same 1,500 products in every run. */
const products = Array.from({ length: 1_500 }, (_, index) => ({
  sku: `sku-${String(index).padStart(5, '0')}`,
  title: `${words[index % 14]} ${words[(index * 5 + 3) % 14]} ${words[(index * 11 + 7) % 14]}`,
  cents: 100 + ((index * 7_919) % 90_000),
  tags: [words[(index * 3) % 14], words[(index * 13 + 1) % 14]],
  weight: ((index * 31) % 997) / 997,
}));

/** Products whose title or tags contain `text`, the cheapest first. */
function searchProducts(text) {
  return products
    .filter((product) => product.title.includes(text) || product.tags.includes(text))
    .sort((a, b) => a.cents - b.cents || a.title.localeCompare(b.title));
}

/**
 * Returns the products with the words most like `text`, for a search that finds nothing. Hardly any
 * search calls this, so nobody has noticed its cost.
 */
function suggestProducts(text, count) {
  const beginning = text.slice(0, 6);
  const distance = ({ title }) =>
    Math.min(...title.split(' ').map((word) => editDistance(beginning, word)));
  return products
    .map((product) => ({ product, distance: distance(product) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ product }) => product);
}

/** Levenshtein's distance by the recursion of the textbook: right, and exponential. */
function editDistance(a, b) {
  if (a === '' || b === '') return a.length + b.length;
  const [restOfA, restOfB] = [a.slice(1), b.slice(1)];
  const replaced = editDistance(restOfA, restOfB) + (a[0] === b[0] ? 0 : 1);
  return Math.min(replaced, editDistance(restOfA, b) + 1, editDistance(a, restOfB) + 1);
}

/** Adds to `scores` how much each product has in common with the words of `history`. */
function scoreProducts(history, seed, scores) {
  for (const product of products) {
    let score = scores.get(product) ?? 0;
    for (let step = 0; step < 18; step += 1) {
      const word = history[(seed * 17 + step * 7) % history.length];
      score += similarity(product, word, seed + step);
    }
    scores.set(product, score);
  }
}

/** How much a product has to do with a word: made up, but not free. */
function similarity(product, word, seed) {
  let hash = seed;
  for (let index = 0; index < word.length; index += 1) {
    hash = (hash * 33 + word.charCodeAt(index)) | 0;
  }
  return product.weight * Math.sqrt(Math.abs(hash % 1_000));
}

/** The `count` products with the highest score, best first. */
function rankProducts(scores, count) {
  return [...scores]
    .sort(([, left], [, right]) => right - left)
    .slice(0, count)
    .map(([product, score]) => ({ ...product, score }));
}

/** One product as a line of CSV. */
function csvLine(product) {
  const { sku, title, cents, tags } = product;
  return [sku, quote(title), (cents / 100).toFixed(2), quote(tags.join(' '))].join(',') + '\n';
}

function quote(text) {
  return `"${text.replaceAll('"', '""')}"`;
}

module.exports = {
  products,
  searchProducts,
  suggestProducts,
  scoreProducts,
  rankProducts,
  csvLine,
};
