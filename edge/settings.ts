/** What an operator may choose for requests that do not choose for themselves. Apart from env.ts, for schemas and pages. */

/** cached: seed 0, so that an equal request is answered from cache. fresh: one drawn for each request. */
export const SEED_POLICIES = ['cached', 'fresh'] as const
export type SeedPolicy = (typeof SEED_POLICIES)[number]

/** What image answers carry. */
export const IMAGE_RESPONSES = ['both', 'b64_json', 'url'] as const
export type ImageResponseForm = (typeof IMAGE_RESPONSES)[number]
