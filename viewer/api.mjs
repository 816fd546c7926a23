/** Requests data from the server; a newer request for the same part of the page cancels an older one. */

const pending = new Map();

/**
 * @param {string} part The part of the page that the data is for.
 * @param {string} name
 * @param {[string, string][]} parameters
 * @returns {Promise<any>} Undefined if a newer request has cancelled this one.
 */
export async function ask(part, name, parameters = []) {
  pending.get(part)?.abort();
  const controller = new AbortController();
  pending.set(part, controller);
  const query = new URLSearchParams(parameters.filter(([, value]) => value !== ''));
  try {
    const response = await fetch(`api/${name}?${query}`, { signal: controller.signal });
    if (!response.ok) throw new Error(await response.text());
    const found = await response.json();
    return pending.get(part) === controller ? found : undefined;
  } catch (error) {
    if (error.name === 'AbortError') return undefined;
    throw error;
  }
}
