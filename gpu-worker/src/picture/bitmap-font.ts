/** A 5x7 font of our own, so that sheets can be labelled without a font file. Lower case is drawn as upper case. */
export const GLYPH_WIDTH = 5
export const GLYPH_HEIGHT = 7

/** Seven rows from top to bottom, one base-32 digit each; the highest of its five bits is the left pixel. */
const GLYPHS: Readonly<Record<string, string>> = {
  ' ': '0000000',
  '0': 'ehjlphe',
  '1': '4c4444e',
  '2': 'eh168gv',
  '3': 'eh161he',
  '4': '26aiv22',
  '5': 'vgu11he',
  '6': 'egguhhe',
  '7': 'v124888',
  '8': 'ehhehhe',
  '9': 'ehhf11e',
  A: 'ehhvhhh',
  B: 'uhhuhhu',
  C: 'ehggghe',
  D: 'uhhhhhu',
  E: 'vgguggv',
  F: 'vgguggg',
  G: 'ehgnhhe',
  H: 'hhhvhhh',
  I: 'e44444e',
  J: '1111hhe',
  K: 'hikokih',
  L: 'ggggggv',
  M: 'hrllhhh',
  N: 'hpljhhh',
  O: 'ehhhhhe',
  P: 'uhhuggg',
  Q: 'ehhhlid',
  R: 'uhhukih',
  S: 'fgge11u',
  T: 'v444444',
  U: 'hhhhhhe',
  V: 'hhhhha4',
  W: 'hhhllrh',
  X: 'hha4ahh',
  Y: 'hha4444',
  Z: 'v1248gv',
  '.': '00000cc',
  ',': '0000c48',
  ':': '0cc0cc0',
  '-': '000v000',
  '+': '044v440',
  '=': '00v0v00',
  '/': '11248gg',
  '%': 'pp248jj',
  '(': '2488842',
  ')': '8422248',
  '#': 'aavavaa',
  _: '000000v',
  '?': 'eh12404',
}

/** @returns whether the pixel is set; a character without a glyph looks like a question mark. */
export function isGlyphPixel(character: string, x: number, y: number): boolean {
  const rows = GLYPHS[character.toUpperCase()] ?? (GLYPHS['?'] as string)
  const bits = Number.parseInt(rows[y] ?? '0', 32)
  return ((bits >> (GLYPH_WIDTH - 1 - x)) & 1) === 1
}
