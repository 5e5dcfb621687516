/**
 * What can be wrong with a picture, coarser than words, so that failures can be counted.
 *
 * missing object: none of a class was found. One or several too few, too many: another number than asked for.
 * colour of the other object: found on this one. no clear place: the objects overlap or stand diagonally apart.
 * nothing to stand by: the object that a relation refers to was not found, or was wrong itself.
 * Of the strict yardstick: fault: a patch that does not belong where it is. another object: one that nobody asked for.
 * not whole drawings: the matcher does not find each object as one whole drawing with nothing beside.
 */
export const FAILURE_KINDS = [
  'missing object',
  'one too few',
  'several too few',
  'one too many',
  'several too many',
  'wrong colour',
  'colour of the other object',
  'wrong place',
  'no clear place',
  'nothing to stand by',
  'fault',
  'another object',
  'not whole drawings',
] as const
export type FailureKind = (typeof FAILURE_KINDS)[number]

export interface Failure {
  readonly kind: FailureKind
  /** In words: "expected 2 apple, found 1". */
  readonly reason: string
}
