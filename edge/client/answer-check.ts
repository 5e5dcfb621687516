import type * as z from 'zod'
import { ApiKey, CreatedApiKey, TenantAccount } from '../../shared/api-key.ts'
import { JobEvent } from '../../shared/job-event.ts'
import { CandidateList, JobImages, JobList, JobRecord, VerdictLedger } from '../../shared/job-record.ts'
import { ScoreRecord } from '../../shared/score-record.ts'
import {
  ErasedTenant,
  Health,
  ImageResponse,
  ImageStreamEvent,
  ModelList,
  Readiness,
  TakenDown,
  WebhookSecret,
} from '../response-schema.ts'
import type { AnswerName } from './transport.ts'

/** Apart from the client, so that a page which trusts its own service need not load the schemas. */
const SCHEMAS: Readonly<Record<AnswerName, z.ZodType>> = {
  ImageResponse,
  ImageStreamEvent,
  JobRecord,
  JobList,
  JobEvent,
  VerdictLedger,
  CandidateList,
  JobImages,
  ScoreRecord,
  ModelList,
  Health,
  Readiness,
  WebhookSecret,
  ApiKey,
  CreatedApiKey,
  TenantAccount,
  ErasedTenant,
  TakenDown,
}

/**
 * Holds every answer against its schema; for `check` of the client's options.
 *
 * @throws z.ZodError, which the client wraps as `unexpected_answer`
 */
export const checkAnswer = (name: AnswerName, body: unknown): unknown => SCHEMAS[name].parse(body)
