// Renders every drawing of every class into one PNG of 96 px cells and its index.
// Usage: npm install && node render-atlas.mjs   (writes sprites.png and sprites.json beside this file)
import { createRequire } from 'node:module'
import { readFileSync, writeFileSync } from 'node:fs'
import sharp from 'sharp'

const CELL = 96
const COLUMNS = 20
const SUPERSAMPLED = 512 // rendered large, trimmed, then reduced: trimming at 96 px would lose up to a pixel a side
const SETS = ['fluent-emoji-flat', 'twemoji', 'noto', 'noto-v1', 'fxemoji', 'emojione']
const MINIMUM_SETS = 3
// Drawings that carry the right name and show another thing: a piano, a ball without its racket, a desktop computer.
const MISNAMED = new Set(['fxemoji:keyboard', 'twemoji:tennis', 'noto-v1:laptop'])

const require = createRequire(import.meta.url)
const here = (name) => new URL(name, import.meta.url)

/** Follows iconify aliases to the drawing; aliases that turn or flip are refused, as we would draw them wrongly. */
function resolveIcon(set, name) {
  const alias = set.aliases?.[name]
  if (!alias) return set.icons[name]
  if (alias.rotate || alias.hFlip || alias.vFlip) throw new Error(`${set.prefix}:${name} is a transformed alias, which is not supported`)
  return resolveIcon(set, alias.parent)
}

async function renderSprite(set, icon) {
  const [left, top] = [icon.left ?? 0, icon.top ?? 0]
  const [width, height] = [icon.width ?? set.width ?? 16, icon.height ?? set.height ?? 16]
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="${left} ${top} ${width} ${height}" width="${SUPERSAMPLED}" height="${SUPERSAMPLED}">${icon.body}</svg>`
  const transparent = { r: 0, g: 0, b: 0, alpha: 0 }
  const trimmed = await sharp(Buffer.from(svg)).trim({ background: transparent, threshold: 8 }).png().toBuffer()
  return sharp(trimmed).resize(CELL, CELL, { fit: 'contain', background: transparent }).png().toBuffer()
}

const classes = JSON.parse(readFileSync(here('classes.json'), 'utf8'))
const sets = SETS.map((name) => JSON.parse(readFileSync(require.resolve(`@iconify-json/${name}/icons.json`), 'utf8')))

const sprites = []
for (const [className, names] of Object.entries(classes)) {
  const drawn = []
  for (const set of sets) {
    const name = names.find((candidate) => resolveIcon(set, candidate))
    if (name && !MISNAMED.has(`${set.prefix}:${name}`)) drawn.push({ class: className, set: set.prefix, icon: name, source: [set, resolveIcon(set, name)] })
  }
  if (drawn.length < MINIMUM_SETS) throw new Error(`only ${drawn.length} sets draw "${className}", at least ${MINIMUM_SETS} are needed`)
  sprites.push(...drawn)
}

const layers = []
for (const [index, sprite] of sprites.entries()) {
  sprite.cell = [index % COLUMNS, Math.floor(index / COLUMNS)]
  layers.push({ input: await renderSprite(...sprite.source), left: sprite.cell[0] * CELL, top: sprite.cell[1] * CELL })
}
const rows = Math.ceil(sprites.length / COLUMNS)
await sharp({ create: { width: COLUMNS * CELL, height: rows * CELL, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } })
  .composite(layers)
  .png({ compressionLevel: 9, palette: false })
  .toFile(here('sprites.png').pathname)

const index = { cell: CELL, columns: COLUMNS, sets: SETS, sprites: sprites.map(({ source, ...sprite }) => sprite) }
const lines = index.sprites.map((sprite) => `    ${JSON.stringify(sprite)}`).join(',\n')
writeFileSync(here('sprites.json'), `{\n  "cell": ${CELL},\n  "columns": ${COLUMNS},\n  "sets": ${JSON.stringify(SETS)},\n  "sprites": [\n${lines}\n  ]\n}\n`)
console.log(`${sprites.length} sprites of ${Object.keys(classes).length} classes written to sprites.png and sprites.json`)
