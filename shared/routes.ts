/** Addresses of the public and the operator's API, from the origin. Without schemas, so that a page can have them. */

export const imageRoute = (image: { readonly sha256: string }): string => `/v1/images/${image.sha256}`
export const jobRoute = (id: string): string => `/v1/jobs/${id}`
export const jobVerdictsRoute = (id: string): string => `${jobRoute(id)}/verdicts`
export const jobCandidatesRoute = (id: string): string => `${jobRoute(id)}/candidates`
export const jobImagesRoute = (id: string): string => `${jobRoute(id)}/images`
export const jobEventsRoute = (id: string): string => `${jobRoute(id)}/events`
export const scoreRoute = (id: string): string => `/v1/scores/${id}`

export const tenantRoute = (tenant: string): string => `/admin/v1/tenants/${tenant}`
export const tenantBudgetRoute = (tenant: string): string => `${tenantRoute(tenant)}/budget`
export const tenantKeysRoute = (tenant: string): string => `${tenantRoute(tenant)}/keys`
export const tenantKeyRoute = (tenant: string, keyId: string): string => `${tenantKeysRoute(tenant)}/${keyId}`
