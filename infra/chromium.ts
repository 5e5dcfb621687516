import { existsSync } from 'node:fs'

const PLACES = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

/** @returns the path of a Chromium on this machine, if there is one; CHROMIUM_PATH comes first */
export const findChromium = (): string | undefined => PLACES.find((place) => place !== undefined && existsSync(place))
