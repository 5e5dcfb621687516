/** Types of client.js, which `npm run client` makes of these sources. */
export * from '../client/client.ts'
