import * as z from 'zod'

/**
 * The id of a model, which is its bundle's, or another name for it. It stands in addresses, metrics and logs; slashes are for names
 * as Hugging Face has them, no part may be dots alone.
 */
export const ModelName = z
  .string()
  .max(100)
  .regex(
    /^[A-Za-z0-9@][A-Za-z0-9._:@+-]*(\/[A-Za-z0-9@][A-Za-z0-9._:@+-]*)*$/,
    'expected 1 to 100 of A-Z a-z 0-9 . _ : @ + - and / between parts that begin with a letter, a digit or @',
  )
