import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findChromium } from '../../infra/chromium.ts'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'

const executablePath = findChromium()
if (!executablePath) {
  console.warn(
    'The playground is not tested: no Chromium found. Install one (Debian: apt-get install chromium) or name it in CHROMIUM_PATH.',
  )
}

/** Where the reference has it. */
const operation = (tag: string, id: string) => `[id="tag/${tag}/operation/${id}"]`

const DESKTOP = { viewport: { width: 1280, height: 860 } }
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }
/** A whole job, on a machine that may be busy. */
const JOB_MS = 90_000
const PATIENTLY = { timeout: JOB_MS }

describe.skipIf(!executablePath)('the playground', { timeout: 2 * JOB_MS }, () => {
  let stack: LocalStack
  let browser: Browser

  beforeAll(async () => {
    stack = await startStack()
    browser = await chromium.launch({
      executablePath: executablePath ?? '',
      args: ['--no-sandbox', '--disable-gpu'],
      timeout: JOB_MS,
    })
  }, 2 * JOB_MS)

  afterAll(async () => {
    await browser?.close()
    await stack?.stop()
  })

  /**
   * A fresh visitor; `complaints` collects what the page wrote to its console as an error, policy violations too, and what it asked of
   * anybody but the service.
   */
  async function visit(hash: string, screen: BrowserContextOptions = DESKTOP) {
    const context = await browser.newContext(screen)
    const page = await context.newPage()
    page.setDefaultTimeout(JOB_MS)
    const complaints: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('request', (request) => {
      const isOwn = request.url().startsWith(`${stack.url}/`) || /^(data|blob):/.test(request.url())
      if (!isOwn) complaints.push(`asks ${request.url()}`)
    })
    await page.goto(`${stack.url}/${hash}`)
    await page.locator('.example').first().waitFor()
    return { page, complaints, leave: () => context.close() }
  }

  it('makes a picture by keyboard alone, shows every candidate being judged, can be read aloud and fits a phone', async () => {
    const { page, complaints, leave } = await visit('#candidates=3&accept=best&steps=12&seed=11')
    await page.keyboard.press('Tab')
    while ((await page.evaluate(() => document.activeElement?.id)) !== 'prompt') await page.keyboard.press('Tab')
    await page.keyboard.type('a photo of a red apple')
    await page.keyboard.press('Enter')

    // Asked inside the page: by the time an answer is here, a fast worker may be done.
    await page.waitForFunction(
      () => document.querySelector('.frame img:not([hidden])') && document.querySelector('#cancel:not([hidden])'),
    )

    await page.locator('.frame[data-phase="winner"]').waitFor()
    expect(await page.locator('.frame').count()).toBe(3)
    for (const frame of await page.locator('.frame').all()) {
      expect(await frame.locator('.bars [data-asked="true"]').count()).toBeGreaterThan(0)
      expect(await frame.locator('.frame-verdict').textContent()).toMatch(/^step \d+: (unclear|keep|prune|accept)$/)
    }
    await expect.poll(() => naturalWidth(page), PATIENTLY).toBe(96)
    expect(await page.locator('#print-image').getAttribute('src')).toMatch(/^\/v1\/images\/[0-9a-f]{64}$/)
    expect(await page.locator('#print-image').getAttribute('alt')).toContain('a photo of a red apple')

    const ledger = (await page.locator('#ledger-text').textContent())?.match(/^(\d+) of 54 row-steps/)
    const savings = (await page.locator('#ledger-text').textContent())?.match(/(\d+) saved/)
    expect(Number(ledger?.[1]) + Number(savings?.[1] ?? 0)).toBe(54)
    expect(await page.locator('#verdict-rows tr').count()).toBeGreaterThan(0)
    expect(await page.locator('#log').textContent()).toMatch(/candidate \d won/)

    await openFolds(page)
    await expectNames(page)
    await page.setViewportSize({ width: 360, height: 740 })
    expect(await scrollsSideways(page)).toBe(false)
    expect(complaints).toEqual([])
    await leave()
  })

  it('repeats a picture from its link and by its curl command, out of the cache, with the verdicts given then', async () => {
    const { page, complaints, leave } = await visit('#prompt=a+photo+of+a+cat&candidates=2&steps=6&seed=5')
    await generate(page)
    const made = (await page.locator('#print-image').getAttribute('src')) ?? ''

    await page.reload()
    expect(await page.locator('#prompt').inputValue()).toBe('a photo of a cat')
    await generate(page)
    expect(await page.locator('#status-text').textContent()).toMatch(/^Answered from cache/)
    expect(await page.locator('#print-image').getAttribute('src')).toBe(made)
    expect(await page.locator('#verdict-rows tr').count()).toBeGreaterThan(0)
    expect(complaints).toEqual([])

    const command = (await page.locator('#curl').textContent()) ?? ''
    const [, address = '', body = ''] = command.match(/^curl -s (\S+) [\s\S]*-d '([\s\S]*)' \\\n/) ?? []
    const headers = { 'content-type': 'application/json' }
    const answer = await (await fetch(address, { method: 'POST', headers, body })).json()
    const stored = Buffer.from(await (await fetch(stack.url + made)).arrayBuffer())
    expect(answer).toMatchObject({ data: [{ b64_json: stored.toString('base64') }], parm: { cache: 'hit' } })
    await leave()
  })

  it('takes the picture home in the format and by the deadline asked for, on a phone', async () => {
    const { page, complaints, leave } = await visit('#prompt=a+photo+of+a+dog&candidates=2&steps=4&format=webp', PHONE)
    await openFolds(page)
    await page.getByLabel('Deadline, ms').fill('600000')
    await generate(page)
    expect(await page.locator('#cache').textContent()).toBe('cache: miss')
    const download = page.getByRole('link', { name: 'Download WebP' })
    await expect.poll(() => download.getAttribute('href'), PATIENTLY).toMatch(/^\/v1\/images\/[0-9a-f]{64}$/)
    expect(await download.getAttribute('download')).toMatch(/\.webp$/)
    const response = await fetch(stack.url + (await download.getAttribute('href')))
    expect(response.headers.get('content-type')).toBe('image/webp')
    expect(await page.locator('#curl').textContent()).toContain('"output_format":"webp"')
    expect(await scrollsSideways(page)).toBe(false)
    await page.goto(`${stack.url}/reference`)
    await page.locator(operation('Jobs', 'createJob')).waitFor()
    expect(await scrollsSideways(page)).toBe(false)
    expect(complaints).toEqual([])
    await leave()
  })

  it('on a phone brings the picture into view while it forms', async () => {
    const { page, leave } = await visit('#prompt=a+photo+of+a+dog&candidates=2&seed=15', PHONE)
    await page.locator('#generate').click()
    await page.locator('#print-image:not([hidden])').waitFor()
    const { top, bottom, height } = await page.locator('#print').evaluate((print) => {
      const box = print.getBoundingClientRect()
      return { top: box.top, bottom: box.bottom, height: innerHeight }
    })
    expect(top).toBeGreaterThanOrEqual(0)
    expect(bottom).toBeLessThanOrEqual(height)
    await leave()
  })

  it('sets candidates and accept by effort, and says what that was measured to give', async () => {
    const { page, leave } = await visit('')
    await page.locator('input[name="effort"][value="high"]').check()
    expect(await page.locator('#candidates').inputValue()).toBe('20')
    expect(await page.locator('input[name="accept"]:checked').inputValue()).toBe('best')
    expect(await page.locator('#effort-hint').textContent()).toMatch(/\d+ of 100 pictures right, \d+ row-steps/)
    await page.locator('input[name="accept"][value="first"]').check()
    expect(await page.locator('input[name="effort"]:checked').count()).toBe(1)
    expect(await page.locator('input[name="effort"]:checked').inputValue()).toBe('medium')
    await leave()
  })

  it('says before it is sent that nothing of a prompt is understood', async () => {
    const { page, leave } = await visit('')
    const line = page.locator('#prompt-unread')
    await page.locator('#prompt').fill('ein roter Apfel')
    await line.waitFor()
    await page.locator('#prompt').fill('ein red Apfel')
    expect(await line.isVisible()).toBe(false)
    await leave()
  })

  it('keeps its history over a reload, gives other sizes, and shows pixels or none by choice', async () => {
    const { page, leave } = await visit('#prompt=a+photo+of+a+cat&candidates=2&steps=6&seed=5&size=512x512')
    await generate(page)
    const download = page.getByRole('link', { name: 'Download PNG' })
    await expect.poll(() => download.getAttribute('href'), PATIENTLY).toMatch(/^\/v1\/images\/[0-9a-f]{64}$/)
    const png = Buffer.from(await (await fetch(stack.url + (await download.getAttribute('href')))).arrayBuffer())
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([512, 512])

    const isCrisp = () => page.locator('#print-image').evaluate((image) => image.classList.contains('crisp'))
    const toggle = page.locator('#pixels')
    await toggle.click()
    expect(await isCrisp()).toBe((await toggle.getAttribute('aria-pressed')) === 'true')
    await toggle.click()
    expect(await isCrisp()).toBe((await toggle.getAttribute('aria-pressed')) === 'true')

    await page.reload()
    await page.locator('#history-list button').first().click()
    await page.locator('.frame[data-phase="winner"]').waitFor()
    expect(await page.locator('#print-image').getAttribute('alt')).toContain('a photo of a cat')
    expect(await page.locator('#verdict-rows tr').count()).toBeGreaterThan(0)
    await leave()
  })

  it('shows what is wrong with a field at that field, and forgets it when the field is changed', async () => {
    const { page, leave } = await visit('#seed=1.5')
    await page.locator('#generate').click()
    const problem = page.locator('#prompt-problem')
    await problem.waitFor()
    expect(await problem.textContent()).toMatch(/^Prompt is empty.*Permitted: .*1000/)
    expect(await page.locator('#seed-problem').textContent()).toMatch(/^Seed is 1\.5\. Permitted: an integer/)
    const prompt = page.locator('#prompt')
    expect(await prompt.getAttribute('aria-invalid')).toBe('true')
    expect(await prompt.getAttribute('aria-describedby')).toBe('prompt-problem')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('prompt')

    await page.keyboard.type('a cat')
    expect(await problem.isVisible()).toBe(false)
    expect(await prompt.getAttribute('aria-invalid')).toBeNull()
    await leave()
  })

  it('cancels a job, also one that was not accepted yet', async () => {
    const { page, leave } = await visit('#prompt=a+photo+of+two+cats&candidates=32&accept=best&steps=50&seed=9')
    const status = () => page.locator('#status-text').textContent()
    await page.locator('#generate').click()
    await page.locator('#cancel').click()
    await expect.poll(status, PATIENTLY).toBe('Canceled')

    await page.locator('#new-seed').click()
    await page.locator('#generate').click()
    await page.locator('.frame[data-phase="running"]').first().waitFor()
    await page.locator('#cancel').click()
    await expect.poll(status, PATIENTLY).toBe('Canceled')
    expect(await page.locator('#cancel').isVisible()).toBe(false)
    await leave()
  })

  it('has a reference of every route, from its own document, without asking anybody else', async () => {
    const { page, complaints, leave } = await visit('')
    await page.goto(`${stack.url}/reference`)
    await page.locator(operation('Jobs', 'createJob')).waitFor()
    const document = (await (await fetch(`${stack.url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { operationId: string; tags: [string] }>>
    }
    for (const { operationId, tags } of Object.values(document.paths).flatMap((item) => Object.values(item))) {
      expect(await page.locator(operation(tags[0], operationId)).count()).toBe(1)
    }
    expect(await page.locator(operation('Jobs', 'createJob')).innerText()).toContain('candidates')
    expect(await scrollsSideways(page)).toBe(false)
    expect(complaints).toEqual([])
    await leave()
  })

  it('takes the stream up again when an answer in between was none, and names unknown words', async () => {
    const { page, leave } = await visit('#prompt=a+blue+zeppelin&candidates=1&steps=4&seed=10')
    let refused = 0
    await page.route('**/events*', (route) => {
      if (refused > 0) return route.continue()
      refused += 1
      return route.fulfill({ status: 502, contentType: 'text/html', body: 'Bad gateway' })
    })
    await page.locator('#generate').click()
    await expect.poll(() => page.locator('#alarm').textContent(), PATIENTLY).toContain('connection was lost')
    await page.locator('.frame[data-phase="winner"]').waitFor()
    expect(refused).toBe(1)
    expect(await page.locator('#alarm').isVisible()).toBe(false)
    expect(await page.locator('#warnings').textContent()).toContain('zeppelin')
    await leave()
  })
})

async function generate(page: Page): Promise<void> {
  await page.locator('#generate').click()
  await page.locator('.frame[data-phase="winner"]').waitFor()
  await expect.poll(() => naturalWidth(page), PATIENTLY).toBe(96)
}

const openFolds = (page: Page): Promise<void> =>
  page.evaluate(() => {
    for (const fold of document.querySelectorAll('details')) fold.open = true
  })

const naturalWidth = (page: Page): Promise<number> =>
  page.locator('#print-image').evaluate((image) => (image as HTMLImageElement).naturalWidth)

const scrollsSideways = (page: Page): Promise<boolean> =>
  page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)

/** Every control and picture has a name that a screen reader can say, and what happens is said. */
async function expectNames(page: Page): Promise<void> {
  const nodes = await accessibleNodes(page)
  expect(nodes.filter(({ name }) => name === '')).toEqual([])
  const roles = new Set(nodes.map(({ role }) => role))
  for (const role of ['button', 'textbox', 'slider', 'radio', 'combobox', 'link', 'image'])
    expect(roles).toContain(role)
  expect(await page.locator('[role="log"][aria-live="polite"]').count()).toBe(1)
}

/** What assistive technology gets of everything that must have a name. */
async function accessibleNodes(page: Page): Promise<{ role: string; name: string }[]> {
  const NAMED = new Set(['button', 'textbox', 'slider', 'radio', 'combobox', 'link', 'image', 'form', 'region'])
  const session = await page.context().newCDPSession(page)
  const { nodes } = await session.send('Accessibility.getFullAXTree')
  await session.detach()
  return nodes
    .filter(({ ignored }) => !ignored)
    .map(({ role, name }) => ({ role: String(role?.value), name: String(name?.value ?? '').trim() }))
    .filter(({ role }) => NAMED.has(role))
}
