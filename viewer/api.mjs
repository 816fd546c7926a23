/** Asks the server; of answers that arrive late only the last one asked for counts. */

const pending = new Map();

/**
 * @param {string} slot What the answer is for: a newer question for it cancels the older.
 * @param {string} name
 * @param {[string, string][]} parameters
 * @returns {Promise<any>} Undefined where a newer question has been asked.
 */
export async function ask(slot, name, parameters = []) {
  pending.get(slot)?.abort();
  const controller = new AbortController();
  pending.set(slot, controller);
  const query = new URLSearchParams(parameters.filter(([, value]) => value !== ''));
  try {
    const response = await fetch(`api/${name}?${query}`, { signal: controller.signal });
    if (!response.ok) throw new Error(await response.text());
    const found = await response.json();
    return pending.get(slot) === controller ? found : undefined;
  } catch (error) {
    if (error.name === 'AbortError') return undefined;
    throw error;
  }
}
