import { createApp } from './app.ts'

export { CacheEntry } from './objects/cache-entry.ts'
export { Job } from './objects/job.ts'
export { Tenant } from './objects/tenant.ts'

export default createApp()
