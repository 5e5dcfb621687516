/** One deliberate break of the code, and who should notice. */
export interface Break {
  /** Of what the service promises, what no longer holds. */
  readonly what: string
  readonly file: string
  /** Stands exactly once in the file. */
  readonly from: string
  readonly to: string
  /** Files of tests, any one of which should fail. */
  readonly tests: readonly string[]
  /** Why nobody can notice it here, where that is so. */
  readonly explanation?: string
}

const ENGINE = 'gpu-worker/src/engine'
const ENGINE_TESTS = 'test/gpu-worker/engine'

const DURABILITY: readonly Break[] = [
  {
    what: 'a message is deleted although the job is busy elsewhere',
    file: 'gpu-worker/src/claim.ts',
    from: 'await lease.release(busySeconds(reply.retryAfterMs, lease.receiveCount))',
    to: 'await lease.ack()',
    tests: ['test/gpu-worker/job-runner.test.ts'],
  },
  {
    what: 'a message is deleted before the terminal record is known',
    file: 'gpu-worker/src/lease-settlement.ts',
    from: 'return lease.release(troubleSeconds(lease.receiveCount))',
    to: 'return lease.ack()',
    tests: ['test/gpu-worker/job-runner.test.ts'],
  },
  {
    what: 'a 404 of whatever answers deletes the message',
    file: 'gpu-worker/src/edge-client.ts',
    from: "const unknown = typeof named === 'string' && response.status < 500 ? 'internal' : 'edge_unavailable'",
    to: "const unknown = response.status === 404 ? 'job_not_found' : 'edge_unavailable'",
    tests: ['test/gpu-worker/edge-client.test.ts'],
  },
  {
    what: 'a worker with another bundle claims the job and ends it',
    file: 'gpu-worker/src/job-runner.ts',
    from: 'if (other && read.message.deadline > this.#now()) {',
    to: 'if (other && read.message.deadline < 0) {',
    tests: ['test/gpu-worker/job-runner.test.ts'],
  },
  {
    what: 'a worker that is refused goes on taking messages',
    file: 'gpu-worker/src/intake-pause.ts',
    from: "return this.#phase === 'trying' ? 1 : 0",
    to: 'return Number.POSITIVE_INFINITY',
    tests: ['test/gpu-worker/intake-pause.test.ts'],
  },
  {
    what: 'fencing is skipped: a lower attempt reports',
    file: 'edge/objects/job.ts',
    from: 'if (batch.attempt !== attemptOf(state)) {',
    to: 'if (batch.attempt > attemptOf(state)) {',
    tests: ['test/edge/fencing.test.ts'],
  },
  {
    what: 'a batch that is sent twice is stored twice',
    file: 'edge/objects/job.ts',
    from: 'const isNew = batch.sequence === state.nextSequence',
    to: 'const isNew = batch.sequence <= state.nextSequence',
    tests: ['test/edge/fencing.test.ts'],
  },
  {
    what: 'an attempt that is alive loses its job to the next claim',
    file: 'edge/objects/job.ts',
    from: "if (retryAfterMs > 0) return { decision: 'busy', retryAfterMs }",
    to: '',
    tests: ['test/edge/fencing.test.ts'],
  },
  {
    what: 'a repeated claim takes the job from its own attempt',
    file: 'edge/objects/job-state.ts',
    from: 'return claimId !== undefined && claimId === request.claimId && nextSequence === 0',
    to: 'return false',
    tests: ['test/edge/fencing.test.ts'],
  },
  {
    what: 'what was handed back is not free at once',
    file: 'edge/objects/job-state.ts',
    from: 'return heard(state, 0)',
    to: 'return heard(state, Date.now())',
    tests: ['test/edge/hand-back.test.ts'],
  },
  {
    what: 'the outbox does not book its alarm before it sends',
    file: 'edge/objects/outbox.ts',
    from: `    // Before the first send: should this object die while sending, the alarm finds the delivery still booked.
    await this.#schedule()`,
    to: '',
    tests: ['test/edge/outbox.test.ts'],
  },
  {
    what: 'what could not be delivered is forgotten',
    file: 'edge/objects/outbox.ts',
    from: "if (kind === 'webhook' && tries > WEBHOOK_WAITS_MINUTES.length) this.#store.removeDelivery(id)",
    to: 'this.#store.removeDelivery(id)',
    tests: ['test/edge/outbox.test.ts'],
  },
  {
    what: 'a success may name a picture of another size than is stored',
    file: 'edge/routes/internal.ts',
    from: 'if (stored?.size === bytes) continue',
    to: 'if (stored) continue',
    tests: ['test/edge/fencing.test.ts', 'test/edge/callbacks.test.ts'],
  },
  {
    what: 'an attempt stores as many pictures as it likes',
    file: 'edge/objects/job.ts',
    from: 'if ((state.picture ?? sha256) !== sha256) {',
    to: 'if (sha256.length === 0) {',
    tests: ['test/edge/callbacks.test.ts'],
  },
  {
    what: 'a checkpoint that does not fit the job fails it',
    file: 'gpu-worker/src/take-over.ts',
    from: `    if (!(error instanceof AppError)) throw error
    log.warn('the checkpoint does not fit the job, which begins anew', { error })`,
    to: '    throw error',
    tests: ['test/gpu-worker/take-over.test.ts'],
  },
]

const TRUST: readonly Break[] = [
  {
    what: "a key's secret is not compared",
    file: 'edge/objects/tenant.ts',
    from: 'if (!known || known.hash !== keyHash || known.key.revokedAt !== undefined) {',
    to: 'if (!known || known.key.revokedAt !== undefined) {',
    tests: ['test/edge/keys.test.ts'],
  },
  {
    what: 'a revoked key opens everything',
    file: 'edge/objects/tenant.ts',
    from: 'if (!known || known.hash !== keyHash || known.key.revokedAt !== undefined) {',
    to: 'if (!known || known.hash !== keyHash) {',
    tests: ['test/edge/keys.test.ts'],
  },
  {
    what: 'scopes are not looked at',
    file: 'edge/objects/tenant.ts',
    from: 'if (!key.scopes.includes(scope)) {',
    to: 'if (key.scopes.length === 0) {',
    tests: ['test/edge/keys.test.ts'],
  },
  {
    what: 'any tenant reads any job',
    file: 'edge/objects/job-reader.ts',
    from: 'return reader === undefined || reader === tenant',
    to: 'return tenant.length > 0 || reader === tenant',
    tests: ['test/edge/keys.test.ts'],
  },
  {
    what: "any tenant cancels any other's job",
    file: 'edge/objects/job.ts',
    from: 'if (!ticket || ticket.tenant !== tenant) return undefined',
    to: 'if (!ticket || tenant.length === 0) return undefined',
    tests: ['test/edge/keys.test.ts'],
  },
  {
    what: 'a signature leaves out the query',
    file: 'edge/callback-signature.ts',
    from: 'const signed = signingString(request.method, pathname + search, timestamp, bodySha256)',
    to: 'const signed = signingString(request.method, search === "" ? pathname : pathname, timestamp, bodySha256)',
    tests: ['test/edge/callbacks.test.ts'],
  },
  {
    what: 'the body of a signed call may be another one',
    file: 'edge/callback-signature.ts',
    from: 'if ((await sha256Hex(body)) === bodySha256) return',
    to: 'if (bodySha256.length === 64 || body.length === 0) return',
    tests: ['test/edge/callbacks.test.ts'],
  },
  {
    what: 'an old signed call is as good as a new one',
    file: 'edge/callback-signature.ts',
    from: 'if (Math.abs(Date.now() - Number(timestamp)) > LIMITS.signatureSkewMs) {',
    to: 'if (Number(timestamp) > Date.now() + LIMITS.signatureSkewMs) {',
    tests: ['test/edge/callbacks.test.ts'],
  },
  {
    what: "a job's key speaks for other jobs",
    file: 'edge/routes/internal.ts',
    from: 'if (signed.jobId !== id)',
    to: 'if (id.length === 0)',
    tests: ['test/edge/callbacks.test.ts'],
  },
  {
    what: 'a read token opens every job',
    file: 'edge/read-token.ts',
    from: "return crypto.subtle.verify('HMAC', key, signature, encoder.encode(CONTEXT + jobId))",
    to: 'return key !== undefined && jobId.length > 0 && signature.length === 32',
    tests: ['test/edge/keys.test.ts', 'test/edge/events.test.ts'],
  },
  {
    what: "the opener's labels are shown to later hits",
    file: 'edge/objects/cache-entry.ts',
    from: 'const snapshot = withoutLabels(kept.snapshot)',
    to: 'const snapshot = kept.snapshot',
    tests: ['test/edge/job-list.test.ts', 'test/edge/keys.test.ts'],
  },
  {
    what: 'a picture that was taken down is stored again',
    file: 'edge/routes/internal.ts',
    from: '  requirePermitted(stored)\n',
    to: '',
    tests: ['test/edge/erasing.test.ts'],
  },
  {
    what: 'who is erased comes back with the next end of a job',
    file: 'edge/objects/tenant.ts',
    from: 'const records = told.filter(({ entry }) => entry.createdAt > erasedAt)',
    to: 'const records = told.filter(({ entry }) => entry.createdAt > 0 || erasedAt > 0)',
    tests: ['test/edge/erasing.test.ts'],
  },
]

const BOOKS: readonly Break[] = [
  {
    what: 'nothing is charged',
    file: 'edge/objects/tenant-entry.ts',
    from: 'return store.payer() === ticket.id ? Math.min(rowStepsTaken(store), store.spec().mostRowSteps) : 0',
    to: 'return store.payer() === ticket.id ? 0 * rowStepsTaken(store) : 0',
    tests: ['test/edge/keys.test.ts'],
  },
  {
    what: 'everybody who waited pays for all of the work',
    file: 'edge/objects/tenant-entry.ts',
    from: 'return store.payer() === ticket.id ? Math.min(rowStepsTaken(store), store.spec().mostRowSteps) : 0',
    to: 'return ticket.id === "" ? 0 : Math.min(rowStepsTaken(store), store.spec().mostRowSteps)',
    tests: ['test/edge/payment.test.ts'],
  },
  {
    what: 'who leaves takes the debt along',
    file: 'edge/objects/job.ts',
    from: 'if (this.#store.payer() === ticket.id) this.#store.setPayer(next.id)',
    to: '',
    tests: ['test/edge/payment.test.ts'],
  },
  {
    what: 'a bucket gives one request too many',
    file: 'edge/objects/token-bucket.ts',
    from: 'if (before.remaining < count) return',
    to: 'if (before.remaining + 1 < count) return',
    tests: ['test/edge/token-bucket.test.ts', 'test/edge/keys.test.ts'],
  },
  {
    what: 'a key has one job more under way than it may',
    file: 'edge/objects/tenant.ts',
    from: 'after.ofKey > limits.concurrentJobs && after.ofKey > before.ofKey',
    to: 'after.ofKey > limits.concurrentJobs + 1 && after.ofKey > before.ofKey',
    tests: ['test/edge/keys.test.ts'],
  },
  {
    what: 'all who wait behind a refused opener open a job',
    file: 'edge/objects/cache-entry.ts',
    from: 'while (this.#opening) await this.#opening.catch(() => undefined)',
    to: 'await this.#opening?.catch(() => undefined)',
    tests: ['test/edge/payment.test.ts'],
    explanation:
      'Objects of the local runtime answer in the order in which they are called, so that whoever comes second finds the job opened; objects far apart need not.',
  },
]

const SEARCH: readonly Break[] = [
  {
    what: 'halving drops one too many of an odd field',
    file: `${ENGINE}/halving.ts`,
    from: 'Math.min(Math.floor(clear.length / 2)',
    to: 'Math.min(Math.ceil(clear.length / 2)',
    tests: [`${ENGINE_TESTS}/halving.test.ts`],
  },
  {
    what: 'halving ends the better half',
    file: `${ENGINE}/halving.ts`,
    from: '.sort((a, b) => b.potential - a.potential ||',
    to: '.sort((a, b) => a.potential - b.potential ||',
    tests: [`${ENGINE_TESTS}/search.test.ts`],
  },
  {
    what: 'where all were pruned nobody is resumed',
    file: `${ENGINE}/selection.ts`,
    from: "if (hopeful !== undefined) return { kind: 'resume', candidate: hopeful.candidate }",
    to: '',
    tests: [`${ENGINE_TESTS}/selection.test.ts`],
  },
  {
    what: 'the worst of the pruned is resumed',
    file: `${ENGINE}/selection.ts`,
    from: 'state.potential > hopeful.potential',
    to: 'state.potential < hopeful.potential',
    tests: [`${ENGINE_TESTS}/selection.test.ts`],
  },
  {
    what: 'a later accepted candidate wins before an earlier one is through',
    file: `${ENGINE}/selection.ts`,
    from: "if (state.isAccepted && !isOpen) return { kind: 'accepted', candidate }",
    to: "if (state.isAccepted) return { kind: 'accepted', candidate }",
    tests: [`${ENGINE_TESTS}/selection.test.ts`],
  },
  {
    what: 'the least gain is reckoned with one candidate more',
    file: `${ENGINE}/stopping.ts`,
    from: 'return (1 - best) / (seen + 1) < leastGain',
    to: 'return (1 - best) / (seen + 2) < leastGain',
    tests: [`${ENGINE_TESTS}/stopping.test.ts`],
  },
  {
    what: 'parm judges what it has found clear again and again',
    file: `${ENGINE}/pruning.ts`,
    from: "return point.isJudgedStep && !point.isClear ? ['clarity', 'potential'] : []",
    to: "return point.isJudgedStep ? ['clarity', 'potential'] : []",
    tests: [`${ENGINE_TESTS}/pruning.test.ts`],
  },
  {
    what: 'a slot that was released is not free',
    file: `${ENGINE}/slot-pool.ts`,
    from: '    this.#free.push(slot)\n',
    to: '',
    tests: [`${ENGINE_TESTS}/slot-pool.test.ts`],
  },
  {
    what: "a tenant's surplus credit has no cap",
    file: `${ENGINE}/deficit-ring.ts`,
    from: 'flow.deficit = Math.min(flow.deficit - work, 2 * this.#quantum * flow.weight)',
    to: 'flow.deficit -= work',
    tests: [`${ENGINE_TESTS}/deficit-ring.test.ts`],
  },
  {
    what: 'whoever comes later is owed what it did not ask for',
    file: `${ENGINE}/deficit-ring.ts`,
    from: 'flow.deficit = Math.min(0, flow.deficit)',
    to: 'flow.deficit = Math.max(0, flow.deficit)',
    tests: [`${ENGINE_TESTS}/deficit-ring.test.ts`],
  },
  {
    what: 'row-steps are not counted',
    file: `${ENGINE}/aftermath.ts`,
    from: '    job.spent.rowSteps += 1\n',
    to: '',
    tests: [`${ENGINE_TESTS}/engine.test.ts`],
  },
  {
    what: 'a tenant runs ahead of its share for ever',
    file: `${ENGINE}/sprint-credit.ts`,
    from: 'this.of(name) - ms * (used - own)',
    to: 'this.of(name) - 0 * ms * (used - own)',
    tests: [`${ENGINE_TESTS}/sprint-credit.test.ts`],
  },
]

/** What a break of durability, trust, books or search would look like, one at a time. */
export const BREAKS: readonly Break[] = [...DURABILITY, ...TRUST, ...BOOKS, ...SEARCH]
