/**
 * The API reference: Redoc over the service's own document. It asks nobody else: fonts are the machine's, and the search, which
 * needs a worker of its own, is left out, since a browser finds words in a page.
 */

const options = {
  disableSearch: true,
  hideDownloadButton: false,
  nativeScrollbars: true,
  theme: {
    typography: {
      fontFamily: 'system-ui, sans-serif',
      headings: { fontFamily: 'system-ui, sans-serif' },
      code: { fontFamily: 'ui-monospace, monospace' },
    },
  },
}

/** @typedef {{ init(address: string, options: object, place: HTMLElement | null): void }} Redoc */

const { Redoc } = /** @type {{ Redoc: Redoc }} */ (/** @type {unknown} */ (globalThis))
Redoc.init('/openapi.json', options, document.getElementById('reference'))
