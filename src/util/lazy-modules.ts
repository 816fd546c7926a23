/**
 * Modules of Node.js that are loaded at their first use: tools that patch them are often loaded
 * after this package, and most programs need them later or never.
 */
/* eslint-disable @typescript-eslint/no-require-imports */
import type * as Http from 'node:http';
import type * as Inspector from 'node:inspector';
import type * as Net from 'node:net';
import type * as Tls from 'node:tls';
import type * as Zlib from 'node:zlib';

export const http = (): typeof Http => require('node:http') as typeof Http;
export const inspector = (): typeof Inspector => require('node:inspector') as typeof Inspector;
export const net = (): typeof Net => require('node:net') as typeof Net;
export const tls = (): typeof Tls => require('node:tls') as typeof Tls;
export const zlib = (): typeof Zlib => require('node:zlib') as typeof Zlib;
