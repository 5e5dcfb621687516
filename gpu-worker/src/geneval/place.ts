/** One of the pictures that a set of prompts is drawn in. */
export interface Place {
  /** Index of the prompt. */
  readonly prompt: number
  /** Which of the prompt's pictures, from 0. */
  readonly image: number
}

/** @returns every place of `promptCount` prompts with `images` pictures each, in order */
export function placesOf(promptCount: number, images: number): Place[] {
  return Array.from({ length: promptCount * images }, (_, index) => ({
    prompt: Math.floor(index / images),
    image: index % images,
  }))
}

export function placeKey({ prompt, image }: Place): string {
  return `${prompt}/${image}`
}
