/** Sides of the squares that image programs ask for, pixels. A model's square picture is given in each, made by a good filter. */
export const STANDARD_SIDES = [256, 512, 1024] as const

/** Pixels. */
export interface PictureSize {
  readonly width: number
  readonly height: number
}

export const sizeText = ({ width, height }: PictureSize): string => `${width}x${height}`

/** How a picture can be had. It is kept as PNG; the others are made of that when they are first asked for. */
export const PICTURE_FORMATS = ['png', 'webp', 'jpeg'] as const
export type PictureFormat = (typeof PICTURE_FORMATS)[number]

export const CONTENT_TYPES = { png: 'image/png', webp: 'image/webp', jpeg: 'image/jpeg' } as const
export const PICTURE_TYPES = Object.values(CONTENT_TYPES)
export type PictureType = (typeof PICTURE_TYPES)[number]
