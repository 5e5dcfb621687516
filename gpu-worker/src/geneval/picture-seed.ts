import { createHash } from 'node:crypto'

/**
 * The seed of one of a prompt's pictures. It depends on the run's seed, the prompt's words and the picture's number alone:
 * every strategy compares the same candidates, and a prompt has the same pictures in whatever set it stands.
 *
 * @param seed   uint32
 * @param image  which of the prompt's pictures, from 0
 * @returns      uint32
 */
export function pictureSeed(seed: number, prompt: string, image: number): number {
  return createHash('sha256').update(`${seed}/${image}/${prompt}`).digest().readUInt32LE()
}
