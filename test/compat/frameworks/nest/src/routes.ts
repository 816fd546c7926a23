/** Serves routes with NestJS, each of which calls `work` with its index. */
import 'reflect-metadata';
import type { Server } from 'node:http';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/** Resolves to the HTTP server, which listens. */
export async function serve(
  routes: readonly string[],
  work: (index: number) => Promise<string>,
): Promise<Server> {
  class Shop {}
  for (const [index, route] of routes.entries()) {
    const descriptor = { configurable: true, value: () => work(index) };
    Object.defineProperty(Shop.prototype, `route${index}`, descriptor);
    Get(route)(Shop.prototype, `route${index}`, descriptor);
  }
  Controller()(Shop);
  class AppModule {}
  Module({ controllers: [Shop] })(AppModule);
  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  return app.getHttpServer() as Server;
}
