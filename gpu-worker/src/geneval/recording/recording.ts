import { join } from 'node:path'
import { z } from 'zod'
import { Sha256Hex } from '../../../../shared/job.ts'
import { LIMITS } from '../../../../shared/limits.ts'
import type { Judgement } from '../../engine/ports.ts'
import type { GenevalPrompt } from '../metadata.ts'

/** 1 held first passes only, without the generator's own opinion of them. */
export const RECORDING_FORMAT = 2

/** Codes are stored as uint16. */
export const MAX_CODEBOOK_SIZE = 65_536

/**
 * Everything that decides the recorded predictions. Detector and verifiers are not in it: a new one reads the same
 * recording again. N candidates, S steps, T image tokens.
 */
export const RecordingConfiguration = z.strictObject({
  format: z.literal(RECORDING_FORMAT),
  bundle: z.string(),
  /** SHA-256 over the generator's graphs, tokenizer and settings. */
  generator: Sha256Hex,
  /** Name of the prompt set: `official`, `generated`, or a file's. */
  set: z.string(),
  /** SHA-256 of the prompts with their metadata. */
  prompts: Sha256Hex,
  /** Pictures of each prompt; each is a job of N candidates with a seed of its own (`pictureSeed`). */
  images: z.int().min(1),
  /** N. */
  candidates: z.int().min(LIMITS.candidates.min).max(LIMITS.candidates.max),
  seed: z.int().min(0),
  /** S, corrections included. */
  stepCount: z.int().min(1),
  /** Of these the steps after the first pass. */
  corrections: z.int().min(0),
  guidance: z.number().min(0),
  /** T. */
  tokenCount: z.int().min(1),
  codebookSize: z.int().min(2).max(MAX_CODEBOOK_SIZE),
})
export type RecordingConfiguration = z.infer<typeof RecordingConfiguration>

/** The values of one step each, by step index 0..S-1; undefined at steps that were not looked at (`steps`). */
export type BySteps<T> = readonly (T | undefined)[]

/** One complete path, sampled to its last step without being pruned. */
export interface RecordedCandidate {
  /** Index into the recording's prompts. */
  readonly prompt: number
  /** Which of the prompt's pictures, from 0. */
  readonly image: number
  /** 0..N-1; also the key of its random numbers, so that it is candidate number `candidate` of an ordinary job. */
  readonly candidate: number
  /** Whether the picture of each step's full x0 prediction is right by the yardstick; the last one is the path's label. */
  readonly correct: BySteps<boolean>
  /** The same by GenEval's rules over the detector. */
  readonly geneval: BySteps<boolean>
  /** What each strict instrument says alone of the final picture; undefined where the bundle had none. */
  readonly strict: { readonly detector: boolean; readonly matcher: boolean } | undefined
  /** What is wrong with the final picture, in words; empty when it is correct. */
  readonly reasons: readonly string[]
  /** By verifier name: its answers about each step's picture, all three, whatever a strategy would have asked. */
  readonly readings: Readonly<Record<string, BySteps<Judgement>>>
  /** The generator's own opinion of each step's picture, 0..1, of all steps; undefined where its bundle does not say how it is read. */
  readonly coherence: readonly number[] | undefined
}

/** N complete candidates for every picture of a set of prompts, with labels and readings of the steps looked at. */
export interface Recording {
  readonly configuration: RecordingConfiguration
  readonly prompts: readonly GenevalPrompt[]
  /** Ordered by prompt, image, candidate; prompts * images * N of them. */
  readonly candidates: readonly RecordedCandidate[]
  /** Steps that labels and all readings cover, ascending; the last of a path is one of them. */
  readonly steps: readonly number[]
  /** Names of the verifiers that have read it. */
  readonly verifiers: readonly string[]
  /** SHA-256 by name, of `detector` and each verifier as they were when they looked: a bundle may have others by now. */
  readonly identities: Readonly<Record<string, string>>
}

/**
 * Files of a recording:
 *   recording.json             the configuration
 *   origin.json                when it was begun, and with which settings of the bundle (`origin.ts`)
 *   prompts.jsonl              GenEval's metadata, one prompt a line
 *   predictions.bin            every step's x0 codes and likelihoods, one record a picture (`prediction-file.ts`)
 *   labels.jsonl               what the yardstick says (`examination-file.ts`)
 *   readings/<verifier>.jsonl  what each verifier says
 */
export const recordingPaths = (dir: string) => ({
  configuration: join(dir, 'recording.json'),
  origin: join(dir, 'origin.json'),
  prompts: join(dir, 'prompts.jsonl'),
  predictions: join(dir, 'predictions.bin'),
  labels: join(dir, 'labels.jsonl'),
  readings: join(dir, 'readings'),
})
