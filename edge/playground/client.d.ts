/** Types of client.js, which `npm run client:sync` makes of these sources. */
export * from '../client/client.ts'
