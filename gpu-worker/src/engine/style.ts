import type { PreparedPrompt } from './ports.ts'
import { fillUniform } from './random.ts'

/**
 * The style of one candidate: for each axis the choice that the prompt names, else one drawn for the candidate, each as likely.
 *
 * Number a of the stream `style` at step 0 decides axis a: choice = floor(u * n) of n choices. So siblings differ, and the same
 * seed and candidate have the same style, whatever the prompt and whoever runs beside them.
 *
 * @param candidate  uint32, as which the path began
 * @returns          by axis, 0..n-1; empty for a model without styles
 */
export function styleOf({ styles = [] }: PreparedPrompt, seed: number, candidate: number): readonly number[] {
  if (styles.length === 0) return []
  const uniform = new Float32Array(styles.length)
  fillUniform(uniform, seed, candidate, 0, 'style')
  return styles.map(({ choices, named }, axis) => named ?? Math.floor((uniform[axis] as number) * choices))
}
