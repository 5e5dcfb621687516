/** A probability that something holds, and whether it did. */
export interface Prediction {
  readonly probability: number
  readonly holds: boolean
}

/**
 * Area under the ROC curve over pairs from one group only: P(a true case has the higher probability than a false one of
 * its group), equal ones counting half. With a prompt's candidates as a group this is what choosing among them needs;
 * knowing which prompts are hard does not count.
 *
 * @returns 0..1; undefined where no group has both kinds
 */
export function areaWithinGroups(groups: readonly (readonly Prediction[])[]): number | undefined {
  let wins = 0
  let pairs = 0
  for (const group of groups) {
    const compared = comparedPairs(group)
    wins += compared.wins
    pairs += compared.pairs
  }
  return pairs === 0 ? undefined : wins / pairs
}

/** Share of predictions whose side of the threshold is right, 0..1. */
export function agreement(predictions: readonly Prediction[], threshold: number): number {
  const agreeing = predictions.filter(({ probability, holds }) => probability >= threshold === holds)
  return agreeing.length / predictions.length
}

/** Mann-Whitney's U and the number of true-false pairs. */
function comparedPairs(predictions: readonly Prediction[]): { wins: number; pairs: number } {
  const sorted = [...predictions].sort((a, b) => a.probability - b.probability)
  let wins = 0
  let falseBelow = 0
  let trueCount = 0
  for (let start = 0; start < sorted.length; ) {
    const { probability } = sorted[start] as Prediction
    let end = start
    let trueHere = 0
    while (sorted[end]?.probability === probability) {
      if (sorted[end]?.holds) trueHere += 1
      end += 1
    }
    const falseHere = end - start - trueHere
    wins += trueHere * (falseBelow + falseHere / 2)
    falseBelow += falseHere
    trueCount += trueHere
    start = end
  }
  return { wins, pairs: trueCount * falseBelow }
}
