/**
 * Addresses of the public and the operator's API, from the origin. Without schemas, so that a page can have them. What becomes a
 * segment is encoded; that it is no name of dots, which no encoding keeps, is for its giver to check.
 */
const segment = encodeURIComponent

export const imageRoute = (image: { readonly sha256: string }): string => `/v1/images/${segment(image.sha256)}`
export const jobRoute = (id: string): string => `/v1/jobs/${segment(id)}`
export const jobVerdictsRoute = (id: string): string => `${jobRoute(id)}/verdicts`
export const jobCandidatesRoute = (id: string): string => `${jobRoute(id)}/candidates`
export const jobImagesRoute = (id: string): string => `${jobRoute(id)}/images`
export const jobEventsRoute = (id: string): string => `${jobRoute(id)}/events`
export const scoreRoute = (id: string): string => `/v1/scores/${segment(id)}`

export const tenantRoute = (tenant: string): string => `/admin/v1/tenants/${segment(tenant)}`
export const adminImageRoute = (sha256: string): string => `/admin/v1/images/${segment(sha256)}`
export const tenantBudgetRoute = (tenant: string): string => `${tenantRoute(tenant)}/budget`
export const tenantKeysRoute = (tenant: string): string => `${tenantRoute(tenant)}/keys`
export const tenantKeyRoute = (tenant: string, keyId: string): string => `${tenantKeysRoute(tenant)}/${segment(keyId)}`
