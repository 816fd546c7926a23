/** The names of routes in profiles of real frameworks: instrumentations name a span at its end. */
import { checkRoutes, ROUTES, WAYS } from '../support/routes.mjs';

for (const framework of ['express', 'fastify', 'koa', 'hapi']) {
  describe(`the names of ${framework}'s routes in profiles`, function () {
    this.timeout(120_000);
    this.slow(20_000);

    const routes = framework === 'hapi' ? ROUTES.map(inBraces) : ROUTES;

    for (const way of WAYS) {
      it(`are on the CPU of their requests, with ${way.title}`, () =>
        checkRoutes(framework, way, { routes }));
    }
  });
}

/** The route as hapi writes it: `/items/{id}`. */
function inBraces(route) {
  return route.replaceAll(/:(\w+)/g, '{$1}');
}
