const Z_95 = 1.959964

/**
 * The 95% Wilson score interval of a share; unlike the normal one it stays within 0..1 and is not empty at 0 or 1.
 *
 * @param successes  0..total, need not be whole
 * @param total      > 0, need not be whole: an effective number of trials
 * Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
 */
export function wilsonInterval(successes: number, total: number): [number, number] {
  const share = successes / total
  const square = Z_95 ** 2
  const center = (share + square / (2 * total)) / (1 + square / total)
  const half = (Z_95 / (1 + square / total)) * Math.sqrt((share * (1 - share)) / total + square / (4 * total ** 2))
  return [Math.max(0, center - half), Math.min(1, center + half)]
}
