import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'
import sharp from 'sharp'
import { AppError } from '../shared/error-code.ts'
import { findChromium } from './chromium.ts'
import { runCommand } from './command.ts'
import { startStack } from './local/stack.ts'

const USAGE = `npm run screenshot -- [--hash HASH] [--out edge/playground-screenshot.png]

Starts the service, has the playground draw one picture in Chromium, and takes the README's picture of it.
  --hash  what the playground is opened with: its link behind the #`

const HASH = 'prompt=a+photo+of+a+red+apple+left+of+a+blue+car&candidates=8&accept=best&seed=3'
const WINDOW = { width: 1280, height: 1310 }
const JOB_MS = 180_000

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      hash: { type: 'string', default: HASH },
      out: { type: 'string', default: 'edge/playground-screenshot.png' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const executablePath = findChromium()
  if (executablePath === undefined) throw new AppError('config_invalid', 'no Chromium found; name one in CHROMIUM_PATH')
  const stack = await startStack()
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'], timeout: JOB_MS })
  try {
    const page = await browser.newPage({ viewport: WINDOW, colorScheme: 'light', reducedMotion: 'reduce' })
    page.setDefaultTimeout(JOB_MS)
    await page.goto(`${stack.url}/#${values.hash}`)
    await page.locator('.example').first().waitFor()
    await page.locator('#generate').click()
    await page.locator('.frame[data-phase="winner"]').waitFor()
    await page.waitForLoadState('networkidle')
    // Few colours are on the page, so a palette halves the file and shows the same.
    const small = await sharp(await page.screenshot())
      .png({ palette: true, colours: 128, effort: 10 })
      .toBuffer()
    await writeFile(resolve(values.out), small)
    console.log(`${values.out}: ${small.length} bytes`)
    return 0
  } finally {
    await browser.close()
    await stack.stop()
  }
}

await runCommand(main, USAGE)
