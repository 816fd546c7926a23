/**
 * Modules of Node.js that are loaded at their first use: tools that patch them are often loaded
 * after this package, and most programs need them later or never.
 */
/* eslint-disable @typescript-eslint/no-require-imports */

export const http = (): typeof import('node:http') => require('node:http');
export const net = (): typeof import('node:net') => require('node:net');
export const tls = (): typeof import('node:tls') => require('node:tls');
export const zlib = (): typeof import('node:zlib') => require('node:zlib');
