import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { AppError } from '../../shared/error-code.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const WRANGLER_TOML = join(ROOT, 'wrangler.toml')
const WRANGLER = join(ROOT, 'node_modules/wrangler/bin/wrangler.js')
/** Wrangler looks up hosts of Cloudflare otherwise. */
const QUIET = { WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true', WRANGLER_WRITE_LOGS: 'false' }

export interface EdgeBuild {
  /** Default: `main` of wrangler.toml. */
  readonly entry?: string
  /** The deployment whose build settings are used; default: those of the top level. */
  readonly environment?: string
}

/**
 * Builds the Worker as `wrangler deploy` would upload it.
 *
 * @param outDir  empty
 * @throws AppError service_unavailable  with wrangler's last words
 */
export async function buildEdge(outDir: string, { entry, environment }: EdgeBuild = {}): Promise<void> {
  const flags = ['--dry-run', '--config', WRANGLER_TOML, '--env', environment ?? '', '--outdir', outDir]
  const args = [WRANGLER, 'deploy', ...(entry === undefined ? [] : [entry]), ...flags]
  try {
    await promisify(execFile)(process.execPath, args, { cwd: ROOT, env: { ...process.env, ...QUIET, NO_COLOR: '1' } })
  } catch (cause) {
    const { stderr = '' } = cause as { stderr?: string }
    throw new AppError('service_unavailable', `the edge cannot be built: ${stderr.trim() || String(cause)}`, { cause })
  }
}

/** What wrangler.toml says of the Worker, in miniflare's words. */
export async function readEdgeSettings() {
  // Loaded late: it takes a second, and sets handlers of signals.
  const { unstable_readConfig } = await import('wrangler')
  const config = unstable_readConfig({ config: WRANGLER_TOML })
  const { assets, compatibility_date, compatibility_flags } = config
  if (compatibility_date === undefined || assets?.directory === undefined || config.name === undefined) {
    throw new AppError('config_invalid', 'wrangler.toml: expected name, compatibility_date and [assets] directory')
  }
  const objects = config.durable_objects.bindings.map(
    ({ name, class_name: className }: { name: string; class_name: string }) =>
      [name, { className, useSQLite: true }] as const,
  )
  const buckets = config.r2_buckets.map(
    ({ binding, bucket_name: name = binding }: { binding: string; bucket_name?: string }) => [binding, name] as const,
  )
  return {
    worker: {
      name: config.name,
      compatibilityDate: compatibility_date,
      compatibilityFlags: compatibility_flags,
      bindings: config.vars as Record<string, string>,
      durableObjects: Object.fromEntries(objects),
      r2Buckets: Object.fromEntries(buckets),
      ...(config.images && { images: { binding: config.images.binding } }),
    },
    /** The files that are served before the Worker is asked, by the router that stands before a deployed one. */
    assets: {
      directory: resolve(ROOT, assets.directory),
      ...(assets.binding !== undefined && { binding: assets.binding }),
      routerConfig: { has_user_worker: true },
      assetConfig: { compatibility_date, compatibility_flags },
    },
  }
}
