/**
 * A table in Markdown.
 *
 * @param rows  as many cells each as `head`
 */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}

/** `0.812`, or a dash where there is nothing to say. */
export function share(value: number | undefined): string {
  return value === undefined ? '–' : value.toFixed(3)
}

/** `+0.012`: a difference of two shares. */
export function signed(value: number): string {
  const digits = Math.abs(value).toFixed(3)
  // A rounding error below zero is no loss.
  return `${value < 0 && Number(digits) > 0 ? '-' : '+'}${digits}`
}

/** `0.812 (0.790 to 0.833)`. */
export function withInterval(
  { value, low, high }: { readonly value: number; readonly low: number; readonly high: number },
  write: (value: number) => string = share,
): string {
  return `${write(value)} (${write(low)} to ${write(high)})`
}

/** `12 of 40 (0.300)`. */
export function partOf(part: number, whole: number): string {
  return whole === 0 ? `${part} of 0` : `${part} of ${whole} (${share(part / whole)})`
}
