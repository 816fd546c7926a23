/** A server that keeps all uploads; it runs in the bench's process, not in the measured one. */

import { once } from 'node:events';
import { createServer } from 'node:http';

export async function startSink() {
  const bodies = [];
  const server = createServer(async (request, response) => {
    try {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      bodies.push(Buffer.concat(chunks));
      response.end();
    } catch {
      // The client has ended.
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    bodies,
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
