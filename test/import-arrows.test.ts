import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '..')

/**
 * Who may import whom. The first rule whose folder contains the importing file decides.
 * `folders` may be imported by relative path, `packages` by name (`node:` stands for all built-in modules).
 */
const RULES: { of: string; folders: string[]; packages: string[] }[] = [
  { of: 'shared', folders: ['shared'], packages: ['zod'] },
  { of: 'edge/playground', folders: ['edge/playground'], packages: [] },
  // A page loads it, so it may take types from anywhere in edge, but only addresses and statuses to run with.
  { of: 'edge/client', folders: ['edge/client', 'edge', 'shared'], packages: ['zod'] },
  {
    of: 'edge',
    folders: ['edge', 'shared'],
    packages: ['hono', 'zod', 'aws4fetch', 'canonicalize', 'structured-headers', 'cloudflare:workers'],
  },
  { of: 'gpu-worker/src/engine', folders: ['gpu-worker/src/engine', 'shared'], packages: [] },
  {
    of: 'gpu-worker/src/models',
    folders: ['gpu-worker/src/models', 'gpu-worker/src/engine', 'shared'],
    packages: ['node:', 'onnxruntime-node', '@huggingface/tokenizers', 'zod'],
  },
  {
    of: 'gpu-worker',
    folders: ['gpu-worker', 'shared'],
    packages: ['node:', '@aws-sdk/client-sqs', 'fast-png', 'zod'],
  },
  {
    of: 'infra/aws',
    folders: ['infra/aws', 'infra/fleet-assumptions.ts', 'infra/scaling-policy.ts', 'shared'],
    packages: ['node:', 'aws-cdk-lib', 'cdk-nag', 'constructs', 'vitest'],
  },
  {
    of: 'infra/bench-edge',
    folders: ['infra', 'gpu-worker/src', 'shared'],
    packages: ['node:', 'miniflare', 'wrangler'],
  },
  { of: 'infra/chaos', folders: ['infra', 'gpu-worker/src', 'edge/client', 'shared'], packages: ['node:', 'zod'] },
  { of: 'infra/doctor', folders: ['infra', 'gpu-worker/src', 'edge/client', 'shared'], packages: ['node:', 'zod'] },
  { of: 'infra/simulate', folders: ['infra', 'gpu-worker/src', 'shared'], packages: ['node:', 'zod'] },
  {
    of: 'infra',
    folders: ['infra', 'edge/client', 'edge/admin-schema.ts', 'edge/config.ts', 'shared'],
    packages: ['node:', 'esbuild', 'fauxqs', 'miniflare', 'playwright-core', 'sharp', 'wrangler', 'zod'],
  },
]

/** Packages that only one file may know. */
const SOLE_IMPORTERS: Record<string, RegExp> = {
  '@aws-sdk/client-sqs': /^gpu-worker\/src\/queue-client\.ts$/,
  'onnxruntime-node': /^gpu-worker\/src\/models\/session\.ts$/,
  aws4fetch: /^edge\/job-queue\.ts$/,
}

interface Import {
  from: string
  /** Repository path for a relative import, package name otherwise. */
  to: string
  relative: boolean
  typeOnly: boolean
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|js)$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !/node_modules|\.wrangler|cdk\.out|\/training\//.test(path))
}

function importsOf(path: string): Import[] {
  const text = readFileSync(join(ROOT, path), 'utf8')
  const pattern =
    /^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]/gm
  return [...text.matchAll(pattern)].map((match) => {
    const specifier = match[2] ?? match[3] ?? ''
    const isRelative = specifier.startsWith('.')
    return {
      from: path,
      to: isRelative ? normalize(join(dirname(path), specifier)) : packageName(specifier),
      relative: isRelative,
      typeOnly: match[1] !== undefined,
    }
  })
}

function packageName(specifier: string): string {
  if (specifier.startsWith('node:')) return 'node:'
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? specifier)
}

const inside = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)

const files = ['shared', 'edge', 'gpu-worker/src', 'infra'].flatMap(sourceFiles)
const imports = files.flatMap(importsOf)

function violation({ from, to, relative: isRelative }: Import): string | undefined {
  const rule = RULES.find((candidate) => inside(from, candidate.of))
  if (!rule) return `${from} is in no folder that has a rule`
  const allowed = isRelative ? rule.folders.some((folder) => inside(to, folder)) : rule.packages.includes(to)
  return allowed
    ? undefined
    : `${from} imports ${to}; ${rule.of} may import ${[...rule.folders, ...rule.packages].join(', ')}`
}

describe('import arrows', () => {
  it('finds the sources it is meant to check', () => {
    expect(files.length).toBeGreaterThan(30)
    expect(imports.length).toBeGreaterThan(files.length)
  })

  it('point one way only', () => {
    expect(imports.map(violation).filter((problem) => problem !== undefined)).toEqual([])
  })

  it('would notice an edge file that imports the worker', () => {
    const wrong = { from: 'edge/app.ts', to: 'gpu-worker/src/png.ts', relative: true, typeOnly: false }
    expect(violation(wrong)).toContain('edge/app.ts imports gpu-worker/src/png.ts')
  })

  it('keep each outside service behind one file', () => {
    const strays = imports.filter(({ from, to }) => to in SOLE_IMPORTERS && !SOLE_IMPORTERS[to]?.test(from))
    expect(strays).toEqual([])
  })

  it('form no cycle', () => {
    const next = new Map<string, string[]>()
    for (const edge of imports) {
      if (!edge.relative || edge.typeOnly) continue
      next.set(edge.from, [...(next.get(edge.from) ?? []), edge.to])
    }
    const done = new Set<string>()
    const walk = (path: string, trail: string[]): string[] | undefined => {
      if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
      if (done.has(path)) return undefined
      for (const target of next.get(path) ?? []) {
        const cycle = walk(target, [...trail, path])
        if (cycle) return cycle
      }
      done.add(path)
      return undefined
    }
    expect(files.map((file) => walk(file, [])).find((cycle) => cycle !== undefined)).toBeUndefined()
  })
})
